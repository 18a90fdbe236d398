"""HTTP/1.1 as bytes: sends what no client library would, and reads just enough of the answer."""

import asyncio
import contextlib
from dataclasses import dataclass

_LARGEST_HEAD = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, content type and body; status 0: the server closed the line without an answer."""

    status: int
    content_type: str
    body: bytes


class Line:
    """One connection to a loopback port, opened again whenever it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, request: bytes, *, then_hang_up: bool = False, patience_seconds: float) -> Answer:
        """Send the bytes and return the first answer to them, status 0 if there is none in time."""
        reused = self._writer is not None
        try:
            async with asyncio.timeout(patience_seconds):
                return await self._exchange(request, then_hang_up)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            # TimeoutError is an OSError: whoever is asked for half a request may rightly wait for the rest.
            await self.close()
        if reused:
            # The server may have closed this line after the answer before; a new one tells.
            return await self.send(request, then_hang_up=then_hang_up, patience_seconds=patience_seconds)
        return Answer(0, "", b"")

    async def _exchange(self, request: bytes, then_hang_up: bool) -> Answer:
        if self._writer is None or self._reader is None or self._reader.at_eof():
            await self.close()
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self._port, limit=_LARGEST_HEAD
            )
        self._writer.write(request)
        if then_hang_up:
            self._writer.write_eof()
        await self._writer.drain()
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ", 2)[1])
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (h.partition(":") for h in head[1:])
        }
        content_type = headers.get("content-type", "")
        endless = content_type.startswith("text/event-stream")
        body = b"" if endless else await self._reader.readexactly(int(headers.get("content-length", "0")))
        if endless or then_hang_up or headers.get("connection", "").lower() == "close":
            await self.close()
        return Answer(status, content_type, body)

    async def close(self) -> None:
        """Close the connection if it is open."""
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        self._reader = self._writer = None
