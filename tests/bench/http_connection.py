"""One keep-alive HTTP/1.1 connection, as lean as CPython allows.

aiohttp's and httpx's clients cost more CPU per request than the server that is measured, on the same cores.
This one knows no more of HTTP than the daemon's answers need: a status line and a Content-Length.
"""

import asyncio
import re
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"


class HttpConnection(asyncio.Protocol):
    """Sends one request at a time; its answer is a future."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._answer: asyncio.Future[tuple[bytes, bytes]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports do not inherit from asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, request: bytes) -> asyncio.Future[tuple[bytes, bytes]]:
        """Send a request; the answer is its head and its body."""
        assert self._transport is not None
        assert self._answer is None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        end = self._received.find(_HEAD_END)
        if end < 0:
            return
        head, body_start = self._received[: end + 2], end + len(_HEAD_END)
        length = _LENGTH.search(head)
        assert length is not None, head
        if len(self._received) - body_start < int(length[1]):
            return
        answer, self._answer = self._answer, None
        body, self._received = self._received[body_start:], b""
        assert answer is not None
        answer.set_result((head, body))

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error or ConnectionResetError("the daemon closed the connection"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
