"""The streams that are open in this process: how many there may be, and how each of them ends."""

import asyncio
import socket
from collections import Counter as Tally
from collections.abc import Coroutine, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from aiohttp import web
from aiohttp_sse import EventSourceResponse
from prometheus_client import Counter, Gauge

from daemons.contracts.errors import TransientError, UnauthenticatedError
from daemons.contracts.names import REQUEST_ID_HEADER, Code
from daemons.contracts.permissions import Permission
from daemons.notifier.event import Selection
from daemons.notifier.streams.follower import EventFollower, Lagging, Reached
from daemons.notifier.streams.frames import (
    event_frame,
    lagging_frame,
    opening_frame,
    position_frame,
    reconnect_frame,
    session_ended_frame,
    too_slow_frame,
)
from daemons.shared.auth.callers import Authenticator, Caller
from daemons.shared.http.requests import caller_of, request_id_of
from daemons.shared.tasks import end_task

SESSION_CHECK_SECONDS = 3.0
_PING_SECONDS = 15
_SEND_TIMEOUT_SECONDS = 10
_LINGER_SECONDS = 30
"""How long a client that was cut for taking nothing may still fetch why."""
_SEND_BUFFER_BYTES = 128 * 1024
"""What the system holds for one client that does not read; by itself it would hold megabytes."""
_FAREWELL_TIMEOUT_SECONDS = 0.5
_DISCONNECT_CHECK_SECONDS = 1.0
_UNANSWERED_CHECKS = 5
"""How often in a row the session may be impossible to check before its stream is ended to be safe."""

_open_streams = Gauge("bankctl_notifier_open_streams", "Event streams open in this process")
_slow_clients = Counter("bankctl_notifier_slow_streams", "Event streams ended because nothing was taken")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """The streams of one process, and among them those of one caller."""

    in_all: int
    per_caller: int


class TooManyStreamsError(TransientError):
    """This process serves as many streams as it may."""

    def __init__(self) -> None:
        super().__init__(
            "overloaded", "Too many event streams are open; try again later.", retry_after_seconds=5
        )


class TooManyStreamsOfOneCallerError(TransientError):
    """The caller holds as many streams open as one may."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            Code.TOO_MANY_STREAMS,
            f"One caller may hold {limit} event streams open; end one, or try again later.",
            retry_after_seconds=5,
        )


@dataclass(frozen=True, slots=True)
class Beginning:
    """After which position a stream begins, where the log ends then, and what it is to show."""

    position: int
    last_position: int
    selection: Selection


class EventStreams:
    """Serves streams until the client leaves, its session ends, or this process shuts down."""

    def __init__(
        self, follower: EventFollower, authenticator: Authenticator, *, limits: StreamLimits
    ) -> None:
        self._follower = follower
        self._authenticator = authenticator
        self._limits = limits
        self._open: Tally[UUID] = Tally()
        self._closing = asyncio.Event()

    def close(self) -> None:
        """End all streams, asking their clients to come back."""
        self._closing.set()

    @contextmanager
    def slot(self, caller: Caller) -> Iterator[None]:
        """Count a stream of the caller, a user over all sessions or an API key, as open.

        Raises:
            TooManyStreamsError: there are too many.
            TooManyStreamsOfOneCallerError: there are too many of this caller.
        """
        whose = caller.user_id if caller.key_digest is None else caller.session_id
        if self._open[whose] >= self._limits.per_caller:
            raise TooManyStreamsOfOneCallerError(self._limits.per_caller)
        if self._open.total() >= self._limits.in_all or self._closing.is_set():
            raise TooManyStreamsError
        self._open[whose] += 1
        _open_streams.inc()
        try:
            yield
        finally:
            self._open[whose] -= 1
            self._open += Tally()  # drops those who have none
            _open_streams.dec()

    async def serve(self, request: web.Request, beginning: Beginning) -> EventSourceResponse:
        """Stream the selected events after the position; returns when the stream has ended."""
        response = EventSourceResponse(
            ping_interval=_PING_SECONDS,
            # The system must not cut a client off before it could be told why.
            send_timeout=_SEND_TIMEOUT_SECONDS + _LINGER_SECONDS,
            headers={REQUEST_ID_HEADER: request_id_of(request)},
        )
        await response.prepare(request)
        _bound_send_buffer(request)
        async with response:
            # An answer has begun: whatever happens now ends the stream and must not become another answer.
            farewell = await _first_of(
                self._send(response, beginning), self._watch_session(request), self._await_closing()
            )
            await _say(request, response, farewell)
        return response

    async def _send(self, response: EventSourceResponse, beginning: Beginning) -> bytes | None:
        try:
            opening = opening_frame(beginning.position)
            await _write(response, opening + position_frame(beginning.position, beginning.last_position))
            async with aclosing(self._follower.follow(beginning.position, beginning.selection)) as news:
                async for found in news:
                    match found:
                        case Lagging():
                            frames = lagging_frame(found)
                        case Reached():
                            frames = position_frame(found.position, found.last_position)
                        case _:
                            frames = b"".join(map(event_frame, found))
                    await _write(response, frames)
        except TransientError:
            return reconnect_frame()
        except TimeoutError:
            _slow_clients.inc()
            return too_slow_frame(_SEND_TIMEOUT_SECONDS)
        except ConnectionError:
            return None
        return None

    async def _watch_session(self, request: web.Request) -> bytes | None:
        """Return when the client has left or the session no longer entitles it to the stream."""
        caller = caller_of(request)
        clock = asyncio.get_running_loop()
        unanswered = 0
        while unanswered < _UNANSWERED_CHECKS:
            until = clock.time() + SESSION_CHECK_SECONDS
            while clock.time() < until:
                await asyncio.sleep(_DISCONNECT_CHECK_SECONDS)
                if request.transport is None:
                    return None
            try:
                caller = await self._authenticator.renew(caller)
            except UnauthenticatedError:
                return session_ended_frame()
            except TransientError:
                unanswered += 1
                continue
            unanswered = 0
            if not caller.may(Permission.READ_EVENTS):
                return session_ended_frame()
        return reconnect_frame()

    async def _await_closing(self) -> bytes | None:
        await self._closing.wait()
        return reconnect_frame()


async def _first_of(*coroutines: Coroutine[Any, Any, bytes | None]) -> bytes | None:
    """Run all until one ends, stop the others, and return what the first to end says."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            await end_task(task)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            _log.error("stream ended by a fault", exc_info=outcome)
    return next((outcome for outcome in outcomes if isinstance(outcome, bytes)), None)


async def _write(response: EventSourceResponse, frames: bytes) -> None:
    async with asyncio.timeout(_SEND_TIMEOUT_SECONDS):
        await response.write(frames)


async def _say(request: web.Request, response: EventSourceResponse, farewell: bytes | None) -> None:
    """Say goodbye; a client that does not take even that has a while to fetch it, and is then cut off."""
    transport = request.transport
    if transport is None:
        return
    if farewell is None:
        transport.abort()
        return
    try:
        async with asyncio.timeout(_FAREWELL_TIMEOUT_SECONDS):
            await response.write(farewell)
            await response.write_eof()
    except TimeoutError:
        # It waits in the transport, behind what was sent before. Closing sends that first.
        transport.close()
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, transport.abort)
    except ConnectionError:
        transport.abort()


def _bound_send_buffer(request: web.Request) -> None:
    connection = None if request.transport is None else request.transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
