"""A TCP proxy that misbehaves on demand: what networks do to connections, without touching the network."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from enum import StrEnum

_CHUNK_BYTES = 65_536
_LATENCY_SECONDS = 0.15


class Mode(StrEnum):
    """What happens to bytes and connections."""

    PASS = "pass"
    DROP = "drop"  # connections are closed in an orderly way
    RESET = "reset"  # connections are reset
    BLACK_HOLE = "black_hole"  # connections stay, nothing comes through
    LATENCY = "latency"  # every chunk comes late
    SLICES = "slices"  # every chunk comes byte by byte
    CUT_BEFORE_ANSWER = "cut_before_answer"  # the request goes through, the connection is reset at the answer


class Proxy:
    """Forwards connections to a server. `mode` may change at any time and holds for open connections too.

    `cuts` says whether a connection from that port of a peer is cut off at present (for partitions).
    """

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self.mode = Mode.PASS
        self.struck = 0
        self.cuts: Callable[[int], bool] | None = None
        self._target_port = target_port
        self._closing = False
        self._server: asyncio.Server | None = None
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._closing = True
        self.reset_all()
        self._wake()
        # Not cancelled: asyncio reports cancelled connection handlers as errors (before Python 3.12).
        if self._tasks:
            await asyncio.wait(self._tasks)

    def set_mode(self, mode: Mode) -> None:
        """Change what happens; connections that were lost in a black hole are reset when it ends."""
        before, self.mode = self.mode, mode
        if mode in {Mode.DROP, Mode.RESET} or before is Mode.BLACK_HOLE:
            self.reset_all()
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _holds_back(self, peer_port: int) -> bool:
        if self._closing:
            return False
        return self.mode is Mode.BLACK_HOLE or (self.cuts is not None and self.cuts(peer_port))

    def reset_all(self) -> None:
        for writer in list(self._writers):
            self._end(writer, reset=self.mode is not Mode.DROP)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        server_writer: asyncio.StreamWriter | None = None
        try:
            if self.mode in {Mode.DROP, Mode.RESET}:
                self.struck += 1
                return
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
            self._writers.add(server_writer)
            peer_port = writer.get_extra_info("peername")[1]
            there = asyncio.ensure_future(self._pump(reader, server_writer, peer_port, answers=False))
            back = asyncio.ensure_future(self._pump(server_reader, writer, peer_port, answers=True))
            try:
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
        except OSError:
            pass
        finally:
            for opened in (writer, server_writer):
                if opened is not None:
                    self._end(opened, reset=self.mode in {Mode.RESET, Mode.CUT_BEFORE_ANSWER})
                    self._writers.discard(opened)
            self._tasks.discard(task)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer_port: int, *, answers: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                while self._holds_back(peer_port):
                    self.struck += 1
                    await self._changed.wait()
                if answers and self.mode is Mode.CUT_BEFORE_ANSWER:
                    self.struck += 1
                    return
                async for piece in self._pieces(data):
                    writer.write(piece)
                    await writer.drain()

    async def _pieces(self, data: bytes) -> AsyncIterator[bytes]:
        if self.mode is Mode.LATENCY:
            self.struck += 1
            await asyncio.sleep(_LATENCY_SECONDS)
        if self.mode is not Mode.SLICES:
            yield data
            return
        self.struck += 1
        for index in range(len(data)):
            yield data[index : index + 1]
            await asyncio.sleep(0)

    @staticmethod
    def _end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
        found = writer.get_extra_info("socket")
        if reset and found is not None and found.fileno() != -1:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        else:
            writer.close()


@contextlib.asynccontextmanager
async def running_proxy(target_port: int) -> AsyncIterator[Proxy]:
    """A proxy in front of a port of this machine."""
    proxy = Proxy(target_port)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
