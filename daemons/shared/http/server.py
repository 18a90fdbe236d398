"""Serving a daemon's application on a socket: how many connections it takes, and how long each may take.

A connection has `idle_seconds` from its opening, or from its last answer, to the end of the next header. A
body that a route reads has `body_seconds` (`read_body`). A body that nobody reads is thrown away for a moment
after the answer, then the connection is closed (docs/adr/0021).
"""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import cast

import uvloop
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger

from daemons.contracts.errors import TransientError
from daemons.shared.garbage import collect_less_often
from daemons.shared.http.origin import GATEWAYS_KEY
from daemons.shared.http.problems import problem_response
from daemons.shared.http.requests import BODY_SECONDS_KEY
from daemons.shared.ids import new_id
from daemons.shared.settings import DaemonSettings, parse_networks

SHUTDOWN_TIMEOUT_SECONDS = 10
_LINGERING_SECONDS = 2.0
_REFUSAL_SECONDS = 1.0


@asynccontextmanager
async def listening(app: web.Application, settings: DaemonSettings) -> AsyncIterator[None]:
    """Run the application and take connections; at the end let running requests finish.

    Raises:
        OSError: the port is taken.
    """
    app[GATEWAYS_KEY] = parse_networks(settings.gateway_networks)
    app[BODY_SECONDS_KEY] = settings.body_seconds
    server_logger.addFilter(_in_one_line)
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=settings.idle_seconds,
        lingering_time=_LINGERING_SECONDS,
        shutdown_timeout=SHUTDOWN_TIMEOUT_SECONDS,
    )
    await runner.setup()
    server = runner.server
    assert server is not None  # noqa: S101 - that is what setting it up makes

    def connection() -> asyncio.Protocol:
        if len(server.connections) < settings.maximum_connections:
            return server()
        return _Refusal()

    try:
        sockets = await asyncio.get_running_loop().create_server(connection, settings.host, settings.port)
        try:
            yield
        finally:
            sockets.close()
    finally:
        await runner.cleanup()


def serve(app: web.Application, settings: DaemonSettings) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests finish. Says why when the port is taken."""
    collect_less_often()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop, suppress(asyncio.CancelledError):
            loop.run(_serve_until_told(app, settings))
    except OSError as error:
        print(f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)  # noqa: T201 - last words
        raise SystemExit(1) from None


async def _serve_until_told(app: web.Application, settings: DaemonSettings) -> None:
    serving = asyncio.current_task()
    assert serving is not None  # noqa: S101 - a coroutine runs in a task

    def stop() -> None:
        # Once: a second signal must not break off what the first lets finish.
        if not serving.cancelling():
            serving.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    async with listening(app, settings):
        await asyncio.Event().wait()


def _in_one_line(record: logging.LogRecord) -> bool:
    """Log that a message was broken, without its content, which may be long."""
    fault = record.exc_info[1] if record.exc_info else None
    if isinstance(fault, HttpProcessingError):
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = "request not understood: %s", (type(fault).__name__,)
        record.exc_info = record.exc_text = None
    return True


class _Refusal(asyncio.Protocol):
    """A connection beyond those that the daemon takes: its first request is refused, then it is closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._end = asyncio.get_running_loop().call_later(_REFUSAL_SECONDS, transport.close)

    def data_received(self, _data: bytes) -> None:
        # An answer before the request would be none to it.
        self._transport.write(_too_many_connections())
        self._transport.close()

    def connection_lost(self, _error: Exception | None) -> None:
        self._end.cancel()


def _too_many_connections() -> bytes:
    error = TransientError(
        "overloaded", "Too many connections are open; nothing was done. Try again.", retry_after_seconds=1
    )
    answer = problem_response(error, request_id=str(new_id()))
    body = answer.body if isinstance(answer.body, bytes) else b""
    headers = {**answer.headers, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"HTTP/1.1 {answer.status} Service Unavailable", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
