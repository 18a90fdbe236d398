"""A front's end of the stream: hands commands to the ledger in another process, and hears of the outcomes."""

import asyncio
import itertools
from collections.abc import AsyncIterable, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import grpc
import grpc.aio
import structlog

from daemons.banking_api.ledger.batches import Turn, before_not_settled
from daemons.banking_api.ledger.ledger import LedgerMovedError, NotTakenError, no_ledger
from daemons.banking_api.ledger.pipeline import outcome_unknown
from daemons.banking_api.ledger.record import Command, Outcome
from daemons.banking_api.ledger.server import CHANNEL_OPTIONS, METHOD, SERVICE, TOKEN
from daemons.banking_api.ledger.tls import StreamTls
from daemons.banking_api.ledger.wire import answer_document, answer_from, command_document, pack, unpack
from daemons.contracts.errors import BankError, TransientError
from daemons.shared.mongo import Document
from daemons.shared.tasks import end_task

WAITING_LIMIT = 8192
GATHER_SECONDS = 0.005
"""A message costs as much as the encoding of ten commands."""
_DRAIN_SECONDS = 10.0
"""How long a ledger that moves away may take for its last answers: as long as for a group."""
_log = structlog.get_logger()


class RemoteTurn:
    """A batch's turn at the ledger in another process; see `batches.Turn`."""

    def __init__(self, stream: "FrontStream", number: int, *, follows: bool) -> None:
        self._stream = stream
        self.number = number
        self.has_come = not follows

    async def come(self) -> None:
        """Wait until the batch may begin.

        Raises:
            ConflictError: the one before is not known there, takes too long, or has ended unsettled.
        """
        if not self.has_come:
            await self._stream.come(self.number)
            self.has_come = True

    def enqueue(self, commands: Sequence[Command], *, atomic: bool) -> list[asyncio.Future[Outcome]]:
        """Let commands of the batch wait for their group."""
        try:
            return self._stream.enqueue(commands, turn=self.number, atomic=atomic)
        except NotTakenError:
            raise no_ledger() from None

    def begun(self) -> None:
        """Tell that every row waits to be decided, so that those of the next batch come behind them."""
        self._stream.send({"begun": self.number})

    check = staticmethod(Turn.check)

    def note(self, error: BankError) -> None:
        """Note why a row was not sent; the ledger notes by itself what it does not take."""
        self._stream.send({"note": self.number, "error": answer_document(error)})


class FrontStream:
    """One stream to the ledger; it is not opened again once it has ended."""

    def __init__(
        self, address: str, *, token: Callable[[], str], tls: StreamTls | None, moved: Callable[[], None]
    ) -> None:
        options = [*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", 0)]
        if tls is None:
            self._channel = grpc.aio.insecure_channel(address, options=options)
        else:
            self._channel = grpc.aio.secure_channel(address, tls.for_front(), options=options)
        self._token = token
        self._moved = moved
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.Future[Outcome], bool]] = {}
        """What has no answer yet, and whether it belongs to a batch."""
        self._coming: dict[int, asyncio.Future[None]] = {}
        self._items: list[Document] = []
        self._wake = asyncio.Event()
        self._expected = 1
        """How many outcomes came in the last message: clients who wait for them will soon send as many."""
        self._gathered = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._has_moved = False

    @property
    def takes_commands(self) -> bool:
        """Whether new commands may be sent; those sent before may still be answered if not."""
        return not self._has_moved and not self._ended.is_set()

    def start(self) -> None:
        """Open the stream in a task that this object holds."""
        self._running = asyncio.create_task(self._run(), name="ledger-front")

    async def close(self) -> None:
        """Hang up; a ledger that moves away answers first what it has taken."""
        if self._running is not None:
            if self._has_moved:
                await asyncio.wait([self._running], timeout=_DRAIN_SECONDS)
            await end_task(self._running)
        # Also of a stream that was never opened nothing is awaited any longer.
        self._end()
        await self._channel.close()

    def enqueue(
        self, commands: Sequence[Command], *, turn: int = 0, atomic: bool
    ) -> list[asyncio.Future[Outcome]]:
        """Send commands; their outcomes come in any order.

        Raises:
            TransientError: too many have no answer yet.
            NotTakenError: nothing is taken any longer.
        """
        if not self.takes_commands:
            raise NotTakenError
        if len(self._waiting) >= WAITING_LIMIT:
            raise TransientError(
                "overloaded", "The bank has too much to do; try again shortly.", retry_after_seconds=1
            )
        loop = asyncio.get_running_loop()
        numbers = [next(self._numbers) for _ in commands]
        answers: list[asyncio.Future[Outcome]] = [loop.create_future() for _ in commands]
        self._waiting.update(
            {number: (answer, bool(turn)) for number, answer in zip(numbers, answers, strict=True)}
        )
        self.send(
            {
                "numbers": numbers,
                "commands": [command_document(command) for command in commands],
                "turn": turn,
                "atomic": atomic,
            }
        )
        return answers

    @contextmanager
    def turn(self, user_id: UUID, *, last_key: str, after: str | None) -> Iterator[RemoteTurn]:
        """Give a batch its turn at the ledger."""
        number = next(self._numbers)
        self.send({"open": number, "user": user_id, "last_key": last_key, "after": after})
        turn = RemoteTurn(self, number, follows=after is not None)
        try:
            yield turn
        finally:
            self.send({"close": number})

    async def come(self, number: int) -> None:
        """Wait until a batch's turn has come; see `RemoteTurn.come`."""
        if self._ended.is_set():
            raise before_not_settled()
        coming = self._coming[number] = asyncio.get_running_loop().create_future()
        self.send({"come": number})
        await coming

    def send(self, item: Document) -> None:
        """Send something with the next message."""
        self._items.append(item)
        self._wake.set()
        if len(self._items) >= self._expected:
            self._gathered.set()

    async def _run(self) -> None:
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(
            f"/{SERVICE}/{METHOD}"
        )
        try:
            # What is handed over before there is a connection could not be told from what the ledger has got.
            await self._connect()
            call = method(
                _Messages(self._next_message), metadata=((TOKEN, self._token()),), wait_for_ready=False
            )
            try:
                await self._listen(call)
            finally:
                call.cancel()
        except ConnectionError as error:
            _log.info("the ledger is not reached", reason=str(error))
        except grpc.aio.AioRpcError as error:
            _log.info("the ledger hung up", reason=error.code().name, detail=error.details())
        except Exception:  # noqa: BLE001 - another stream is opened, and what waits is sent again
            _log.exception("the stream to the ledger broke")
        finally:
            self._end()

    async def _connect(self) -> None:
        state = self._channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if state in {grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN}:
                raise ConnectionError(state.name)
            await self._channel.wait_for_state_change(state)
            state = self._channel.get_state(try_to_connect=True)

    async def _listen(self, call: AsyncIterable[bytes]) -> None:
        async for data in call:
            items = unpack(data)["items"]
            self._expected = len(items)
            for item in items:
                self._hear(item)

    async def _next_message(self) -> bytes:
        await self._wake.wait()
        if len(self._items) < self._expected:
            await self._gather()
        self._wake.clear()
        items, self._items = self._items, []
        return pack({"items": items})

    async def _gather(self) -> None:
        """Wait for what is about to come; a lone client's command is sent at once."""
        self._gathered.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER_SECONDS):
                await self._gathered.wait()

    def _hear(self, item: Document) -> None:
        if "come" in item:
            self._hear_turn(item)
        elif "n" in item:
            self._hear_answer(item)
        else:
            self._has_moved = True
            self._moved()

    def _hear_turn(self, item: Document) -> None:
        coming = self._coming.pop(item["come"])
        if coming.done():
            return
        if "moved" in item:
            coming.set_exception(before_not_settled())
        elif "refused" in item:
            refused = answer_from(item["refused"])
            assert isinstance(refused, BankError)  # noqa: S101 - nothing else is refused with
            coming.set_exception(refused)
        else:
            coming.set_result(None)

    def _hear_answer(self, item: Document) -> None:
        waiting, of_batch = self._waiting.pop(item["n"])
        if waiting.done():
            return
        if "moved" in item:
            _fail(waiting, no_ledger() if of_batch else NotTakenError())
            return
        answer = answer_from(item)
        if isinstance(answer, BankError):
            _fail(waiting, answer)
        else:
            waiting.set_result(answer)

    def _end(self) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        self._moved()
        not_sent = {number for item in self._items for number in item.get("numbers", ())}
        for number, (answer, of_batch) in self._waiting.items():
            if answer.done():
                continue
            # What waits for a lone command sends it again; a batch is its client's to send again.
            if number in not_sent:
                _fail(answer, no_ledger() if of_batch else NotTakenError())
            else:
                _fail(answer, outcome_unknown() if of_batch else LedgerMovedError())
        for coming in self._coming.values():
            if not coming.done():
                _fail(coming, before_not_settled())
        self._waiting.clear()
        self._coming.clear()


class _Messages:
    """What is sent, for as long as the stream is open.

    No generator: the library drops it while it waits for the next message, and a generator that is collected
    then complains that it is already running.
    """

    def __init__(self, next_message: Callable[[], Awaitable[bytes]]) -> None:
        self._next_message = next_message

    def __aiter__(self) -> "_Messages":
        return self

    async def __anext__(self) -> bytes:
        return await self._next_message()


def _fail(waiting: asyncio.Future[Any], error: Exception) -> None:
    waiting.set_exception(error)
    # The caller may be gone: its error must not be reported as never retrieved.
    waiting.exception()
