"""A connection that is left open is an error of the suite, unless the MongoDB driver has left it."""

import gc
import re
import socket

import pytest

from daemons.shared.mongo import connect
from tests.support.driver_connections import DriverSocket, DriverTransport


async def test_the_drivers_connections_can_be_told_from_all_others(mongo_uri: str) -> None:
    async with connect(mongo_uri, daemon="tests") as client:
        await client.admin.command("ping")
        made = [found for found in gc.get_objects() if type(found) is DriverTransport]
        assert made
        assert isinstance(made[0]._sock, DriverSocket)


def test_only_the_drivers_may_be_left_open(pytestconfig: pytest.Config) -> None:
    first, *ignored = pytestconfig.getini("filterwarnings")
    assert first == "error"
    patterns = [line.split(":")[1] for line in ignored]

    def is_ignored(left_open: str) -> bool:
        return any(re.match(pattern, f"unclosed {left_open}") for pattern in patterns)

    with socket.socket() as anybodys, DriverSocket() as drivers:
        assert (is_ignored(repr(anybodys)), is_ignored(repr(drivers))) == (False, True)
    assert not is_ignored("transport <_SelectorSocketTransport fd=7>")
    assert is_ignored(f"transport <{DriverTransport.__name__} fd=7>")
