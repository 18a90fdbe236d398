"""Named crash points at every await of a daemon, set from outside through a file.

The points are the daemon's own conversations, seen where its libraries speak: every MongoDB command before
it is sent and after it was answered, in a transaction or apart; every publication, offset commit and call of
another daemon before and after; every message of the stream between a front and the ledger, at both of its
ends. So a daemon that is built differently inside has its points all the same, and the product knows nothing
of them.

The file holds `<action> <point>`; it is removed as the point strikes. Actions: `exit` (as kill -9), `hang`
(time stands still until the process is resumed or killed), `raise`, and `record` (append the name of every
point passed to `<file>.passed`).
"""

import functools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
from pymongo import monitoring

from daemons.banking_api.ledger import node
from daemons.banking_api.ledger.account_cache import AccountCache
from daemons.shared import lease
from daemons.shared.kafka import consumer, producer

_OF_TRANSACTIONS = {"commitTransaction", "abortTransaction"}
_UNINTERESTING = {"hello", "ping", "endSessions", "create", "createIndexes", "listCollections"}


_ACCOUNTS_KEPT = 5


class CrashPointError(Exception):
    """A fault that nobody foresaw."""


class CrashPoints:
    """What a process has been told to do at which point."""

    def __init__(self, control: Path) -> None:
        self._control = control
        self._passed = control.with_name(control.name + ".passed")
        self._named: dict[int, str] = {}

    def reach(self, point: str) -> None:
        """Pass a point, or not."""
        try:
            action, _, wanted = self._control.read_text().partition(" ")
        except FileNotFoundError:
            return
        if action == "record":
            with self._passed.open("a") as passed:
                passed.write(point + "\n")
            return
        if wanted != point:
            return
        self._control.unlink(missing_ok=True)
        if action == "exit":
            os._exit(137)
        if action == "hang":
            os.kill(os.getpid(), signal.SIGSTOP)
        if action == "raise":
            raise CrashPointError(point)

    def command_starts(self, request_id: int, command: Mapping[str, Any]) -> None:
        name = next(iter(command))
        if name not in _UNINTERESTING:
            of = command[name]
            point = f"{name} {of}" if isinstance(of, str) else name
            if name not in _OF_TRANSACTIONS and "autocommit" not in command:
                point += " apart"
            self._named[request_id] = point
            self.reach(f"before {self._named[request_id]}")

    def command_succeeded(self, request_id: int) -> None:
        name = self._named.pop(request_id, None)
        if name is not None:
            self.reach(f"after {name}")


class _Listener(monitoring.CommandListener):
    """The driver swallows what a listener raises, so `CrashPoints` is called by what calls listeners."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        pass

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def install(control: Path) -> CrashPoints:
    """Set the points in this process; call before the daemon makes its clients."""
    points = CrashPoints(control)
    _wrap_mongo(points)
    producer.EventProducer.publish = _around(  # type: ignore[method-assign]
        points, "publish", producer.EventProducer.publish
    )
    httpx.AsyncClient.request = _around(  # type: ignore[method-assign]
        points, lambda arguments: f"ask {str(arguments[2]).rpartition('/')[2]}", httpx.AsyncClient.request
    )
    _wrap_consumer(points)
    _wrap_stream(points)
    # A killed ledger's lease runs out; waiting 3 s for that at every point would make minutes.
    lease.LEASE_SECONDS, node.RENEW_SECONDS = 1.0, 0.3
    # Room for so few that accounts are pushed out and written down.
    (AccountCache.__init__.__kwdefaults__ or {})["limit"] = _ACCOUNTS_KEPT
    return points


def _wrap_mongo(points: CrashPoints) -> None:
    monitoring.register(_Listener())
    # The private class is where the driver tells its listeners; exceptions from here reach the command.
    listeners: Any = monitoring._EventListeners
    start, success = listeners.publish_command_start, listeners.publish_command_success

    def started(self: Any, command: Any, database: str, request_id: int, *more: Any, **named: Any) -> None:
        start(self, command, database, request_id, *more, **named)
        points.command_starts(request_id, command)

    def succeeded(
        self: Any, duration: Any, reply: Any, command_name: str, request_id: int, *more: Any, **named: Any
    ) -> None:
        success(self, duration, reply, command_name, request_id, *more, **named)
        points.command_succeeded(request_id)

    listeners.publish_command_start = started
    listeners.publish_command_success = succeeded


def _wrap_stream(points: CrashPoints) -> None:
    async def passing(messages: AsyncIterator[bytes], point: str) -> AsyncIterator[bytes]:
        async for message in messages:
            points.reach(f"before {point}")
            yield message
            points.reach(f"after {point}")

    class Front(grpc.aio.StreamStreamClientInterceptor):  # type: ignore[misc]
        async def intercept_stream_stream(
            self, continuation: Any, client_call_details: Any, request_iterator: AsyncIterator[bytes]
        ) -> AsyncIterator[bytes]:
            call = await continuation(client_call_details, passing(request_iterator, "sending commands"))
            return passing(call, "hearing outcomes")

    class Ledger(grpc.aio.ServerInterceptor):  # type: ignore[misc]
        async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
            serve = (await continuation(handler_call_details)).stream_stream

            async def served(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
                answers = serve(passing(requests, "taking commands"), context)
                async for answer in passing(answers, "sending outcomes"):
                    yield answer

            return grpc.stream_stream_rpc_method_handler(served)

    for name, interceptor in (
        ("insecure_channel", Front()),
        ("secure_channel", Front()),
        ("server", Ledger()),
    ):
        setattr(grpc.aio, name, functools.partial(getattr(grpc.aio, name), interceptors=[interceptor]))


def _around(
    points: CrashPoints,
    name: str | Callable[[tuple[Any, ...]], str],
    method: Callable[..., Awaitable[Any]],
) -> Callable[..., Awaitable[Any]]:
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        point = name if isinstance(name, str) else name(arguments)
        points.reach(f"before {point}")
        result = await method(*arguments, **named)
        points.reach(f"after {point}")
        return result

    return wrapped


def _wrap_consumer(points: CrashPoints) -> None:
    class CrashingConsumer(consumer.Consumer):  # type: ignore[misc]
        def __init__(self, settings: dict[str, Any], **named: Any) -> None:
            # A killed member's partitions stand still for a session: 10 s each would make an hour of these.
            # And what is stored too early must be committed before the end comes.
            quick = {"session.timeout.ms": 1000, "heartbeat.interval.ms": 200, "auto.commit.interval.ms": 1}
            super().__init__({**settings, **quick}, **named)

        def store_offsets(self, *arguments: Any, **named: Any) -> Any:
            points.reach("before storing offsets")
            result = super().store_offsets(*arguments, **named)
            points.reach("after storing offsets")
            return result

    consumer.Consumer = CrashingConsumer  # type: ignore[misc]
