"""A gateway and a daemon of the real plumbing, and connections to both on which any bytes can be sent."""

import asyncio
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web

from bankctl.local.gateway import gateway_part
from bankctl.local.layout import Layout
from daemons.contracts.errors import ForbiddenError
from daemons.contracts.permissions import Permission
from daemons.contracts.wire import WireModel
from daemons.shared.http.app import build_app
from daemons.shared.http.requests import read_body
from daemons.shared.http.routes import Routes
from daemons.shared.http.server import listening
from daemons.shared.settings import DaemonSettings
from tests.support.gateway import gateway_tools
from tests.support.waiting import PATIENCE_SECONDS

LIMIT = 256 * 1024
"""What a route of a daemon takes."""

GATEWAY_LIMIT = 1024 * 1024
"""What the gateway passes on: as much as the route that takes most."""

DAEMONS = ("user_api", "banking_api", "notifier")


class Text(WireModel):
    """What the daemon of these tests takes."""

    text: str


@dataclass
class Daemon:
    """A daemon that notes each request which reaches a route of it; `bodies` are those that it read whole."""

    port: int
    seen: list[str] = field(default_factory=list)
    bodies: list[int] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    def routes(self) -> Routes:
        """Return the routes; all are for everybody."""
        routes = Routes("tests")

        @routes.add("POST", "/accounts", permission=Permission.PUBLIC, body=Text)
        async def read(request: web.Request) -> web.Response:
            """Read the body."""
            self._note(request)
            self.bodies.append(len((await read_body(request, Text)).text))
            return web.json_response({})

        @routes.add("POST", "/accounts/unread", permission=Permission.PUBLIC)
        async def refuse(request: web.Request) -> web.Response:
            """Refuse without reading."""
            self._note(request)
            raise ForbiddenError("forbidden", "No.")

        @routes.add("GET", "/accounts/{name}", permission=Permission.PUBLIC)
        async def answer(request: web.Request) -> web.Response:
            """Answer at once."""
            self._note(request)
            return web.json_response({"request_id": request.headers.get("X-Request-Id")})

        return routes

    def _note(self, request: web.Request) -> None:
        self.seen.append(request.raw_path)
        self.headers.append(dict(request.headers))


@contextmanager
def running_daemon(**settings: Any) -> Iterator[Daemon]:
    """Serve the daemon from a thread of its own, on the loop that daemons use."""
    daemon = Daemon(free_port())
    given = DaemonSettings(mongo_uri="unused", port=daemon.port, **settings)
    ready, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        app = build_app("banking_api", given, probes={}, routes=[daemon.routes()])
        async with listening(app, given):
            ready.set()
            await asyncio.to_thread(ended.wait)

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            loop.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(PATIENCE_SECONDS)
        yield daemon
    finally:
        ended.set()
        thread.join()


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs alone, before whatever listens on the ports of the daemons."""

    port: int
    certificate: Path
    log: Path


@contextmanager
def running_gateway(root: Path, ports: Mapping[str, int], **environment: str) -> Iterator[Gateway]:
    """Run the gateway of the local stack; the environment shortens its times."""
    numbers = {name: ports.get(name) or free_port() for name in (*DAEMONS, "gateway")}
    layout = Layout("edge", root)
    part = gateway_part(layout, gateway_tools(), numbers)
    log = root / "gateway.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            part.command,
            env={"PATH": os.environ["PATH"], "HOME": str(root), **part.environment, **environment},
            stdout=output,
            stderr=output,
        )
    try:
        until = time.monotonic() + PATIENCE_SECONDS
        while not _answers(part.ready_url, layout.certificate):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)
        yield Gateway(numbers["gateway"], layout.certificate, log)
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


def _answers(url: str | None, certificate: Path) -> bool:
    if not certificate.exists():
        return False
    try:
        trust = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(url or "", context=trust, timeout=5):  # noqa: S310 - https of this test
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except OSError:
        return False


@dataclass(frozen=True)
class Place:
    """Where to connect to: a daemon, or the gateway if there is a certificate to trust."""

    port: int
    certificate: Path | None = None

    @property
    def host(self) -> str:
        """What the Host header says."""
        return f"localhost:{self.port}"

    def connect(self, *protocols: str) -> socket.socket:
        """Open a connection; `protocols` are offered for it."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        if self.certificate is None:
            return plain
        trust = ssl.create_default_context(cafile=str(self.certificate))
        if protocols:
            trust.set_alpn_protocols(list(protocols))
        return trust.wrap_socket(plain, server_hostname="localhost")

    def request(self, line: str, *headers: str, body: bytes = b"") -> bytes:
        """Return a request as bytes, with the headers that a caller of ours sends."""
        lines = [f"{line} HTTP/1.1", f"Host: {self.host}", "X-Requested-With: tests", *headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def exchange(self, sent: bytes) -> list["Answer"]:
        """Send all of it, then read answers until the other side closes the connection."""
        with self.connect() as line:
            # It may be answered and closed before all is sent.
            with suppress(OSError):
                line.sendall(sent)
            return read_answers(line)


@dataclass(frozen=True)
class Answer:
    """An answer of HTTP/1.1."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def read_answers(line: socket.socket) -> list[Answer]:
    """Read answers until the connection is closed; a TimeoutError if it stays open."""
    received = b""
    try:
        while piece := line.recv(1 << 16):
            received += piece
    except TimeoutError:
        raise TimeoutError(f"the connection stays open after {received[-500:]!r}") from None
    except OSError:
        # A reset closes it as well.
        pass
    return list(_split(received))


def _split(received: bytes) -> Iterator[Answer]:
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
        # Without a length the body ends with the connection: so refuse the libraries of servers.
        ends_with_connection = "content-length" not in headers and headers.get("connection") == "close"
        length = len(rest) if ends_with_connection else int(headers.get("content-length", "0"))
        yield Answer(int(first.split(" ")[1]), headers, rest[:length])
        received = rest[length:]


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
        return number
