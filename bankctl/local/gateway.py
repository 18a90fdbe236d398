"""The gateway as a process of this machine: Caddy, one HTTPS origin before the three daemons."""

import importlib.util
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from bankctl.errors import CliError, ExitStatus
from bankctl.installation import how_to_install
from bankctl.local import ports
from bankctl.local.layout import Layout
from bankctl.local.part import Part
from daemons.contracts.names import Daemon

CADDYFILE = Path(__file__).with_name("Caddyfile")
API_DOCS = Path(__file__).with_name("api_docs")
"""The OpenAPI document (`make docs` writes it) and the page that shows it with Swagger UI (docs/adr/0024)."""
GARBAGE_PERCENT = "400"
"""Caddy collects garbage when it has grown by so much: for some 30 MB more a request costs less CPU."""
_NOT_FOUND = 404


def find_caddy() -> Path:
    """The packaged Caddy beside this Python, else the one on PATH.

    Raises:
        CliError: there is none.
    """
    beside = Path(sys.executable).with_name("caddy")
    if beside.is_file():
        return beside
    on_path = shutil.which("caddy")
    if on_path:
        return Path(on_path)
    raise CliError(
        "The gateway is missing: there is no caddy in the packages or on PATH",
        exit_status=ExitStatus.UNEXPECTED,
        hint=f"install it with: {how_to_install('local')}",
        code="caddy_missing",
    )


def find_swagger_ui() -> Path:
    """The folder with the files of Swagger UI; the package around them is not imported, nor its Flask.

    Raises:
        CliError: there is none.
    """
    package = importlib.util.find_spec("flask_swagger_ui")
    if package is not None and package.origin is not None:
        folder = Path(package.origin).with_name("dist")
        if folder.is_dir():
            return folder
    raise CliError(
        "Swagger UI is missing: there is no flask-swagger-ui among the packages",
        exit_status=ExitStatus.UNEXPECTED,
        hint=f"install it with: {how_to_install('local')}",
        code="swagger_ui_missing",
    )


TOOLS: Mapping[str, Callable[[], Path]] = {"caddy": find_caddy, "swagger_ui": find_swagger_ui}
"""What `gateway_part` needs the paths of."""


def gateway_url(port: int) -> str:
    """The origin that people and profiles use."""
    return f"https://localhost:{port}"


def gateway_part(layout: Layout, tools: Mapping[str, str], numbers: Mapping[str, int]) -> Part:
    """The part that serves HTTPS; it is ready when it answers with a certificate that the profile trusts.

    `tools` has the paths of all `TOOLS`.
    """
    return Part(
        name="gateway",
        port=numbers["gateway"],
        command=[tools["caddy"], "run", "--config", str(CADDYFILE), "--adapter", "caddyfile"],
        environment={
            "GATEWAY_PORT": str(numbers["gateway"]),
            "CADDY_STORAGE": str(layout.root / "caddy"),
            "API_DOCS": str(API_DOCS),
            "GOGC": GARBAGE_PERCENT,
            "SWAGGER_UI": tools["swagger_ui"],
            **{name.upper(): f"{ports.LOOPBACK}:{numbers[name]}" for name in Daemon},
            # Whatever Caddy keeps besides its storage stays in the stack's folder too.
            "XDG_CONFIG_HOME": str(layout.root / "caddy" / "config"),
            "XDG_DATA_HOME": str(layout.root / "caddy" / "data"),
        },
        ready_url=f"{gateway_url(numbers['gateway'])}/healthz",
        ready_status=_NOT_FOUND,
        trust=layout.certificate,
        stop_seconds=5.0,
        stop_rank=1,
    )
