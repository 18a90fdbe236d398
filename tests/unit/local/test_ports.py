import os
import socket
from pathlib import Path

import pytest

from bankctl.errors import CliError
from bankctl.local import ports, preflight
from bankctl.local.layout import Layout
from bankctl.local.settings import DEFAULT_PORTS, Settings
from bankctl.local.state import Intent


@pytest.fixture
def held_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout("local", tmp_path / "stack")


def test_a_port_in_use_is_named_with_its_process(held_port: int) -> None:
    found = ports.holder(held_port)

    assert found is not None
    assert found.pid == os.getpid()
    assert f"port {held_port} is in use by {found.name} (pid {os.getpid()})" == str(found)


def test_a_listener_on_every_interface_holds_the_loopback_port_too() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))  # noqa: S104 - that is the case under test
        server.listen()

        assert not ports.is_free(server.getsockname()[1])


def test_chosen_ports_are_free_distinct_and_out_of_the_way() -> None:
    chosen = ports.pick(7)

    assert len(set(chosen)) == 7
    assert all(ports.is_free(port) and 20_000 <= port < 32_000 for port in chosen)


def test_up_refuses_a_port_that_another_process_holds_and_says_what_to_do(
    layout: Layout, held_port: int
) -> None:
    settings = Settings("none", {**DEFAULT_PORTS, "gateway": held_port}, "s", {}, "c")

    with pytest.raises(CliError) as raised:
        preflight.refuse_busy_ports(layout, settings, Intent(("gateway",)), up_command="bankctl dev up")

    assert raised.value.code == "port_in_use"
    assert f"pid {os.getpid()}" in raised.value.message
    assert "--ports auto" in (raised.value.hint or "")
    assert "--port gateway=" in (raised.value.hint or "")


def test_ports_of_parts_that_are_given_from_outside_do_not_matter(layout: Layout, held_port: int) -> None:
    settings = Settings("none", {**DEFAULT_PORTS, "mongod": held_port}, "s", {}, "c")
    intent = Intent(("mongod",), external={"MONGO_URI": "mongodb://elsewhere"})

    preflight.refuse_busy_ports(layout, settings, intent, up_command="bankctl dev up")
