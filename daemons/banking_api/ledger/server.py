"""The ledger's end of the stream: fronts hand in commands, many a message, and hear of the outcomes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack
from typing import Any
from uuid import UUID

import grpc
import grpc.aio
import structlog
from pymongo.errors import PyMongoError

from daemons.banking_api.ledger.batches import Batch, Batches, Turn
from daemons.banking_api.ledger.ledger import LedgerMovedError
from daemons.banking_api.ledger.pipeline import Pipeline, outcome_unknown
from daemons.banking_api.ledger.record import Act, Command, Outcome
from daemons.banking_api.ledger.tls import StreamTls
from daemons.banking_api.ledger.wire import act_of, answer_document, command_from, error_from, pack, unpack
from daemons.contracts.errors import BankError, UnauthenticatedError
from daemons.shared.approvals.approval import Approval
from daemons.shared.mongo import Document, unavailable

SERVICE = "bankctl.Ledger"
METHOD = "Commands"
TOKEN = "authorization"  # noqa: S105 - the name of a header
MOVED: Document = {"moved": True}
CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 3000),
    ("grpc.keepalive_timeout_ms", 4000),
    ("grpc.http2.ping_timeout_ms", 4000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # That is how the server lets the other end ask so often.
    ("grpc.http2.max_ping_strikes", 0),
)
"""Both ends know each other, and what may wait at once is limited by their number.

Each asks whether the other is still there: one whose network is gone says nothing, and to wait for it would
take a quarter of an hour. They know sooner than a lone command loses its patience (`node.PATIENCE_SECONDS`).
"""
_FLUSH_SECONDS = 2.0
FindApproval = Callable[[UUID], Awaitable[Approval]]
Verify = Callable[[str | None], str]
_log = structlog.get_logger()


class LedgerServer:
    """Serves the stream; while this process is not the ledger it says so and hangs up."""

    def __init__(
        self, kinds: Mapping[str, type[Command]], *, verify: Verify, find_approval: FindApproval
    ) -> None:
        self._kinds = kinds
        self._verify = verify
        self._find_approval = find_approval
        self._pipeline: Pipeline | None = None
        self._batches = Batches()
        self._streams: set[_Stream] = set()
        # Two processes with one port would share it, and each take commands that were meant for the other.
        self._server = grpc.aio.server(options=[*CHANNEL_OPTIONS, ("grpc.so_reuseport", 0)])
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(self._commands)
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler})]
        )

    async def start(self, host: str, port: int, tls: StreamTls | None) -> int:
        """Listen; returns the port.

        Raises:
            OSError: the port cannot be had.
        """
        address = address_of(host, port)
        try:
            if tls is None:
                bound = self._server.add_insecure_port(address)
            else:
                bound = self._server.add_secure_port(address, tls.for_server())
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address} for commands of other processes: {error}") from error
        await self._server.start()
        return int(bound)

    async def close(self) -> None:
        """Stop listening, once what was answered is sent."""
        await self._server.stop(grace=_FLUSH_SECONDS)

    def serve(self, pipeline: Pipeline, batches: Batches) -> None:
        """Take commands from now on, in turn with those of this process."""
        self._pipeline, self._batches = pipeline, batches

    def move(self) -> None:
        """Take no more commands: fronts keep what was not taken for the next ledger."""
        self._pipeline = None
        for stream in self._streams:
            stream.say(MOVED)

    async def hang_up(self) -> None:
        """End every stream once all that was taken from it is answered."""
        for stream in list(self._streams):
            await stream.until_answered()
            stream.end()

    async def _commands(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        try:
            token = dict(context.invocation_metadata() or ()).get(TOKEN)
            self._verify(token if isinstance(token, str) else None)
        except UnauthenticatedError as error:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, error.message)
        stream = _Stream()
        self._streams.add(stream)
        reading = asyncio.create_task(self._read(requests, stream), name="ledger-stream")
        try:
            async for message in stream.messages():
                yield message
        finally:
            self._streams.discard(stream)
            reading.cancel()

    async def _read(self, requests: AsyncIterator[bytes], stream: "_Stream") -> None:
        turns: dict[int, tuple[ExitStack, Turn]] = {}
        try:
            async for data in requests:
                for item in unpack(data)["items"]:
                    await self._take(item, stream, turns)
        finally:
            for opened, _ in turns.values():
                opened.close()
            stream.end()

    async def _take(
        self, item: Document, stream: "_Stream", turns: dict[int, tuple[ExitStack, Turn]]
    ) -> None:
        pipeline, of = self._pipeline, item.get("come") or item.get("turn")
        if "begun" in item or "note" in item or "close" in item:
            # Also once another process is the ledger: batches wait here to hear of this one.
            _hear_of_turn(item, turns)
        elif pipeline is None or (of and of not in turns):
            # This process is not the ledger, or was not yet when the batch was opened.
            _say_moved(item, stream)
        elif "open" in item:
            opened = ExitStack()
            turn = self._batches.turn(item["user"], last_key=item["last_key"], after=item["after"])
            turns[item["open"]] = opened, opened.enter_context(turn)
        elif "come" in item:
            coming = self._come(item["come"], turns[item["come"]][1], stream)
            stream.track(asyncio.create_task(coming, name="ledger-turn"))
        else:
            batch = turns[item["turn"]][1].batch if item["turn"] else None
            await self._enqueue(pipeline, item, batch, stream)

    async def _enqueue(
        self, pipeline: Pipeline, item: Document, batch: Batch | None, stream: "_Stream"
    ) -> None:
        try:
            commands = await self._commands_of(item)
            if item["atomic"]:
                answers = pipeline.enqueue_atomic(commands, batch)
            else:
                [command] = commands
                answers = [pipeline.enqueue(command, batch)]
        except BankError as error:
            if batch is not None:
                batch.note(error)
            for number in item["numbers"]:
                stream.answer(number, error)
            return
        for number, answer in zip(item["numbers"], answers, strict=True):
            stream.expect(number, answer)

    async def _commands_of(self, item: Document) -> list[Command]:
        """Return the commands of an item; one at fault is nobody else's, and ends no stream.

        Raises:
            BankError: they cannot be carried out; nothing was done.
        """
        try:
            return [await self._command(document) for document in item["commands"]]
        except PyMongoError as error:
            raise unavailable(error) from error
        except (KeyError, TypeError, ValueError) as error:
            _log.exception("command of another version of banking_api")
            raise BankError(
                "internal", "The ledger does not understand this request; nothing was changed."
            ) from error

    async def _come(self, number: int, turn: Turn, stream: "_Stream") -> None:
        try:
            await turn.come()
        except BankError as error:
            stream.say({"come": number, "refused": answer_document(error)})
        else:
            stream.say({"come": number})

    async def _command(self, document: Document) -> Command:
        act = act_of(document)
        if act is None:
            return command_from(document, self._kinds, None)
        actor, approval_id = act
        approval = None if approval_id is None else await self._find_approval(approval_id)
        return command_from(document, self._kinds, Act(actor=actor, approval=approval))


def _hear_of_turn(item: Document, turns: dict[int, tuple[ExitStack, Turn]]) -> None:
    number = item.get("begun") or item.get("note") or item["close"]
    if number not in turns:
        return
    opened, turn = turns[number]
    if "begun" in item:
        turn.begun()
    elif "note" in item:
        turn.note(error_from(item["error"]))
    else:
        del turns[number]
        opened.close()


def _say_moved(item: Document, stream: "_Stream") -> None:
    """Say of what came too late that it was not taken."""
    for number in item.get("numbers", ()):
        stream.say({"n": number, **MOVED})
    if "come" in item:
        stream.say({"come": item["come"], **MOVED})


def address_of(host: str, port: int) -> str:
    """Return an address as gRPC writes it: IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"


class _Stream:
    """What one front is told; what has gathered since the last message goes in one."""

    def __init__(self) -> None:
        self._items: list[Document] = []
        self._wake = asyncio.Event()
        self._ended = False
        self._open: set[asyncio.Future[Any]] = set()

    def say(self, item: Document) -> None:
        self._items.append(item)
        self._wake.set()

    def answer(self, number: int, answer: Outcome | BankError) -> None:
        self.say({"n": number, **answer_document(answer)})

    def expect(self, number: int, answer: asyncio.Future[Outcome]) -> None:
        """Tell of the outcome once there is one."""
        self._open.add(answer)

        def settled(done: asyncio.Future[Outcome]) -> None:
            self._open.discard(done)
            error = done.exception()
            if error is None:
                self.answer(number, done.result())
            elif isinstance(error, BankError):
                self.answer(number, error)
            elif isinstance(error, LedgerMovedError):
                self.say({"n": number, **MOVED})
            else:
                _log.error("command without an outcome", exc_info=error)
                self.answer(number, outcome_unknown())

        answer.add_done_callback(settled)

    def track(self, work: asyncio.Future[None]) -> None:
        self._open.add(work)
        work.add_done_callback(self._open.discard)

    def end(self) -> None:
        """The front sends nothing more."""
        self._ended = True
        self._wake.set()

    async def until_answered(self) -> None:
        while self._open:
            await asyncio.wait(self._open)

    async def messages(self) -> AsyncIterator[bytes]:
        while self._items or not self._ended:
            await self._wake.wait()
            self._wake.clear()
            items, self._items = self._items, []
            if items:
                yield pack({"items": items})
