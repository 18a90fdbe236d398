import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bankctl.local.gateway import CADDYFILE, find_caddy, gateway_part
from bankctl.local.layout import Layout
from bankctl.local.settings import DEFAULT_PORTS


@pytest.fixture(scope="module")
def adapted() -> dict[str, Any]:
    """The configuration as Caddy itself understands it."""
    part = gateway_part(Layout("local", Path("/data with space/local")), str(find_caddy()), DEFAULT_PORTS)
    answer = subprocess.run(
        [str(find_caddy()), "adapt", "--config", str(CADDYFILE), "--adapter", "caddyfile"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **part.environment},
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


def test_slow_senders_are_timed_out_but_streams_may_last(adapted: dict[str, Any]) -> None:
    [server] = adapted["apps"]["http"]["servers"].values()

    assert server["read_header_timeout"] > 0
    assert server["read_timeout"] > 0
    assert server["idle_timeout"] > 0
    assert "write_timeout" not in server
    assert '"flush_interval": -1' in json.dumps(server)


def test_the_file_has_the_one_format() -> None:
    for file in (CADDYFILE, CADDYFILE.with_name("routes.caddy")):
        formatted = subprocess.run(
            [str(find_caddy()), "fmt", str(file)], capture_output=True, text=True, check=True
        )
        assert formatted.stdout == file.read_text()
