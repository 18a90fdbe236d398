"""Tells the MongoDB driver's connections from all others, so that warnings of what it leaves open name it.

The driver (4.20) leaves its socket to the garbage collector when it is cancelled while it connects
(`_async_create_connection`), and its transport right after that, while it waits for the pool's lock
(`Pool.connect`). A client that is closed under load does that now and then. What the project leaves open
stays an error.
"""

import socket
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]
from types import SimpleNamespace
from typing import Any

from pymongo import pool_shared
from pymongo.asynchronous import pool


class DriverSocket(socket.socket):
    """A socket that the driver has made; warnings show the name of its class."""


class DriverTransport(_SelectorSocketTransport):  # type: ignore[misc]
    """A transport that the driver has made."""


_configured_protocol_interface = pool._configured_protocol_interface


async def _told_apart(*arguments: Any, **named: Any) -> Any:
    interface = await _configured_protocol_interface(*arguments, **named)
    transport = interface.conn[0]
    if type(transport) is _SelectorSocketTransport:
        transport.__class__ = DriverTransport
    return interface


def pytest_configure() -> None:
    """Have the driver use these from now on."""
    pool_shared.socket = SimpleNamespace(**{**vars(socket), "socket": DriverSocket})  # type: ignore[assignment]
    pool._configured_protocol_interface = _told_apart
