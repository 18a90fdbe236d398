import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from bankctl.errors import CliError
from bankctl.installation import how_to_install
from bankctl.local.gateway import CADDYFILE, find_caddy, find_swagger_ui, gateway_part
from bankctl.local.layout import Layout
from bankctl.local.settings import DEFAULT_PORTS
from daemons.banking_api.transactions.models import ATOMIC_BODY_BYTES
from daemons.shared.settings import DaemonSettings
from tests.support.gateway import gateway_tools

PRODUCTION = Path(__file__).parents[3] / "deploy" / "Caddyfile"
STRICT_TRANSPORT = "Strict-Transport-Security"
PLACES = ("USER_API", "BANKING_API", "NOTIFIER", "API_DOCS", "SWAGGER_UI")


@pytest.fixture(scope="module")
def adapted() -> dict[str, Any]:
    """The configuration as Caddy itself understands it."""
    return _adapt(CADDYFILE, _environment())


def _environment() -> Mapping[str, str]:
    return gateway_part(
        Layout("local", Path("/data with space/local")), gateway_tools(), DEFAULT_PORTS
    ).environment


def _adapt(file: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    answer = subprocess.run(
        [str(find_caddy()), "adapt", "--config", str(file), "--adapter", "caddyfile"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    configuration: dict[str, Any] = json.loads(answer.stdout)
    return configuration


def test_it_listens_on_the_loopback_address_alone(adapted: dict[str, Any]) -> None:
    servers = adapted["apps"]["http"]["servers"]

    assert [server["listen"] for server in servers.values()] == [["127.0.0.1:8443"]]
    assert [server["protocols"] for server in servers.values()] == [["h1", "h2"]]


def test_it_opens_no_admin_port_and_touches_no_system_store(adapted: dict[str, Any]) -> None:
    assert adapted["admin"] == {"disabled": True, "config": {"persist": False}}
    assert adapted["apps"]["pki"]["certificate_authorities"]["local"]["install_trust"] is False
    assert adapted["storage"] == {"module": "file_system", "root": "/data with space/local/caddy"}


def test_streams_may_last(adapted: dict[str, Any]) -> None:
    [server] = adapted["apps"]["http"]["servers"].values()

    assert "write_timeout" not in server
    assert '"flush_interval": -1' in json.dumps(server)


def test_idle_connections_to_a_daemon_end_before_the_daemon_ends_them(adapted: dict[str, Any]) -> None:
    kept = re.findall(r'"keep_alive": {"idle_timeout": (\d+),', json.dumps(adapted))
    assert kept
    assert max(map(int, kept)) / 10**9 < DaemonSettings.model_fields["idle_seconds"].default


def test_as_many_connections_to_a_daemon_are_kept_as_requests_are_under_way(adapted: dict[str, Any]) -> None:
    text = json.dumps(adapted)
    kept = re.findall(r'"max_idle_conns_per_host": (\d+)', text)
    assert set(kept) == {"512"}
    assert len(kept) == text.count('"handler": "reverse_proxy"')


def test_production_collects_garbage_as_seldom_as_the_local_gateway() -> None:
    compose = yaml.safe_load((PRODUCTION.parents[1] / "compose.yaml").read_text(encoding="utf-8"))
    assert compose["services"]["caddy"]["environment"]["GOGC"] == _environment()["GOGC"]


def test_the_limit_of_a_body_is_the_largest_of_the_daemons(adapted: dict[str, Any]) -> None:
    text = json.dumps(adapted)
    assert f"> {ATOMIC_BODY_BYTES}" in text
    assert set(re.findall(r'"request_buffers": (\d+)', text)) == {str(ATOMIC_BODY_BYTES)}


def test_production_does_with_a_request_what_the_local_gateway_does(
    adapted: dict[str, Any], tmp_path: Path
) -> None:
    # Both files lie in one folder in the container (deploy/Dockerfile).
    for file in (PRODUCTION, CADDYFILE.with_name("routes.caddy")):
        shutil.copy(file, tmp_path)
    given = {"BANK_HOST": "bank.example", **{name: _environment()[name] for name in PLACES}}
    production = _adapt(tmp_path / PRODUCTION.name, given)

    [local], [remote] = (one["apps"]["http"]["servers"].values() for one in (adapted, production))
    # Production keeps a line of each request besides.
    own = {"listen", "routes", "errors", "automatic_https", "tls_connection_policies", "logs"}
    limits = {name: value for name, value in local.items() if name not in own}
    assert limits == {name: value for name, value in remote.items() if name not in own}
    assert limits.keys() == {
        "protocols",
        "max_header_bytes",
        "read_header_timeout",
        "read_timeout",
        "read_idle_timeout",
        "idle_timeout",
    }
    public = _site(remote, "bank.example")
    [transport] = [one for route in public for one in route["handle"] if STRICT_TRANSPORT in json.dumps(one)]
    assert transport["response"]["set"] == {STRICT_TRANSPORT: ["max-age=31536000"]}
    for route in public:
        route["handle"] = [one for one in route["handle"] if one != transport]
    assert public == _site(local, "localhost")
    assert _site(remote["errors"], "bank.example") == _site(local["errors"], "localhost")
    assert production["logging"]["logs"]["default"]["encoder"] == _encoder(adapted)
    [logger] = remote["logs"]["logger_names"]["bank.example"]
    access = production["logging"]["logs"][logger]
    assert access["include"] == [f"http.log.access.{logger}"]
    assert access["encoder"] == _encoder(adapted)


def _site(server: dict[str, Any], host: str) -> list[dict[str, Any]]:
    [route] = [one for one in server["routes"] if one.get("match") == [{"host": [host]}]]
    routes: list[dict[str, Any]] = route["handle"][0]["routes"]
    return _comparable(routes)


def _comparable(value: Any) -> Any:
    """Return the same without what Caddy derives from the file around it.

    Groups count the routes of the whole file; its own path is hidden from those whom files are served to.
    """
    if isinstance(value, dict):
        return {name: _comparable(one) for name, one in value.items() if name not in {"group", "hide"}}
    return [_comparable(one) for one in value] if isinstance(value, list) else value


def _encoder(adapted: dict[str, Any]) -> Any:
    return adapted["logging"]["logs"]["default"]["encoder"]


def test_without_swagger_ui_what_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flask_swagger_ui", None)

    with pytest.raises(CliError) as raised:
        find_swagger_ui()

    assert raised.value.code == "swagger_ui_missing"
    assert how_to_install("local") in (raised.value.hint or "")


def test_the_files_of_swagger_ui_are_found_without_their_package_s_flask() -> None:
    script = (
        "import sys; from bankctl.local.gateway import find_swagger_ui as find; print(find(), *sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    folder, *modules = told.stdout.split()
    assert (Path(folder) / "swagger-ui-bundle.js").is_file()
    assert {"flask", "flask_swagger_ui"}.isdisjoint(modules)


def test_the_file_has_the_one_format() -> None:
    for file in (CADDYFILE, CADDYFILE.with_name("routes.caddy"), PRODUCTION):
        formatted = subprocess.run(
            [str(find_caddy()), "fmt", str(file)], capture_output=True, text=True, check=True
        )
        assert formatted.stdout == file.read_text()
