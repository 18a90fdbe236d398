"""A front's stream to the ledger: whom the ledger listens to, and what is said of what was not sent."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from daemons.banking_api.ledger import front as front_module
from daemons.banking_api.ledger.batches import Batches
from daemons.banking_api.ledger.front import FrontStream
from daemons.banking_api.ledger.ledger import LedgerMovedError
from daemons.banking_api.ledger.record import Outcome
from daemons.banking_api.ledger.server import LedgerServer
from daemons.banking_api.ledger.wire import pack
from daemons.banking_api.transactions.models import ATOMIC_LIMIT
from daemons.contracts.errors import BankError, ConflictError, OutcomeUnknownError, TransientError
from daemons.shared.auth.service_tokens import SERVICE_TOKEN_HEADER
from tests.support.commits import held_commits
from tests.support.daemon_keys import calls_of
from tests.support.ledgers import OWNER, LedgerProcess, told, transfer
from tests.support.nodes import DAEMON, server, token
from tests.support.waiting import eventually, patience


class Line:
    """The ledger's end, the port it listens on, and fronts' ends of it."""

    def __init__(self, listening: LedgerServer, port: int, batches: Batches) -> None:
        self.server, self.batches = listening, batches
        self._address = f"127.0.0.1:{port}"
        self.streams: list[FrontStream] = []
        self.ended = 0

    def open(self, own_token: str = "") -> FrontStream:
        stream = FrontStream(self._address, token=lambda: own_token or token(), tls=None, moved=self._moved)
        stream.start()
        self.streams.append(stream)
        return stream

    def _moved(self) -> None:
        self.ended += 1


@pytest_asyncio.fixture
async def line(process: LedgerProcess) -> AsyncIterator[Line]:
    """The process's pipeline, which takes commands by a stream."""
    listening, batches = server(), Batches()
    made = Line(listening, await listening.start("127.0.0.1", 0, None), batches)
    listening.serve(process.pipeline, batches)
    yield made
    for stream in made.streams:
        await stream.close()
    await listening.close()


async def pay(stream: FrontStream, sender: str, receiver: str, minor: int) -> str:
    [answer] = stream.enqueue([transfer(sender, receiver, minor)], atomic=False)
    return told(await answer)


async def test_only_a_process_of_the_same_daemon_is_listened_to(line: Line, process: LedgerProcess) -> None:
    a, b = await process.open(2, balance=100)
    others = calls_of("notifier").header_for(DAEMON)[SERVICE_TOKEN_HEADER]
    elsewhere = calls_of(DAEMON).header_for("user_api")[SERVICE_TOKEN_HEADER]
    for wrong in (others, elsewhere, "Bearer x", "x"):
        stream = line.open(wrong)
        async with patience("the stream to end"):
            with pytest.raises(LedgerMovedError):
                await pay(stream, a, b, 1)
        assert not stream.takes_commands
    assert await pay(line.open(), a, b, 1) == "completed"
    assert (await process.exact(b))[b].balance_minor == 101


async def test_many_long_atomic_batches_go_by_one_stream_at_once(line: Line, process: LedgerProcess) -> None:
    """Rows that are sent together make a message of more megabytes than gRPC takes unless it is told to."""
    [a] = await process.open(1)
    stream = line.open()
    answers: list[asyncio.Future[Outcome]] = []
    for number in range(3):
        keys = [f"{number}-{row}-{'x' * 240}" for row in range(ATOMIC_LIMIT)]
        with stream.turn(OWNER, last_key=keys[-1], after=None) as turn:
            answers += turn.enqueue([transfer("nowhere", a, 1, key=key) for key in keys], atomic=True)
            turn.begun()
    assert len(pack({"items": stream._items})) > 4 * 1024 * 1024
    refusals = await asyncio.gather(*answers, return_exceptions=True)
    assert {getattr(refusal, "code", None) for refusal in refusals} == {"account_not_found"}
    assert await pay(stream, a, a, 1) == "same_account"


async def test_a_row_that_a_front_could_not_send_leaves_its_batch_unsettled(
    line: Line, process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)
    monkeypatch.setattr(front_module, "WAITING_LIMIT", 1)
    stream = line.open()
    with stream.turn(OWNER, last_key="one", after=None) as turn:
        [sent] = turn.enqueue([transfer(a, b, 1)], atomic=False)
        with pytest.raises(TransientError) as overloaded:
            turn.enqueue([transfer(a, b, 2)], atomic=False)
        assert (overloaded.value.code, overloaded.value.retry_after_seconds) == ("overloaded", 1)
        turn.note(overloaded.value)
        turn.begun()
        assert told(await sent) == "completed"
    with line.batches.turn(OWNER, last_key="two", after="one") as following:
        with pytest.raises(ConflictError) as refused:
            await following.come()
        assert refused.value.code == "batch_before_not_settled"


async def test_what_a_batch_asks_of_a_stream_that_is_cut_is_answered(
    line: Line, process: LedgerProcess
) -> None:
    a, b = await process.open(2, balance=100)
    stream = line.open()
    with (
        held_commits() as commits,
        stream.turn(OWNER, last_key="one", after=None) as turn,
        stream.turn(OWNER, last_key="two", after="one") as waits,
        stream.turn(OWNER, last_key="three", after="two") as late,
    ):
        [sent] = turn.enqueue([transfer(a, b, 1, key="one")], atomic=False)
        await commits.reached.wait()
        coming = asyncio.create_task(waits.come())

        async def has_asked() -> bool:
            await asyncio.sleep(0)
            return bool(stream._coming) and not stream._items

        await eventually(has_asked)
        await line.server._server.stop(grace=None)
        with pytest.raises(OutcomeUnknownError):
            await sent
        async with patience("the others' answers"):
            for turn_of_another in (coming, late.come()):
                with pytest.raises(ConflictError):
                    await turn_of_another
        with pytest.raises(TransientError) as not_sent:
            turn.enqueue([transfer(a, b, 2)], atomic=False)
        assert not_sent.value.code == "unavailable"
        commits.release()
    # It was done, and its client finds out by sending it again.
    [again] = await process.post([transfer(a, b, 1, key="one")])
    assert (told(again), again.replayed) == ("completed", True)


async def test_what_comes_too_late_was_not_taken_and_the_rest_is_answered(
    line: Line, process: LedgerProcess
) -> None:
    a, b = await process.open(2, balance=100)
    stream = line.open()
    with held_commits() as commits:
        [taken] = stream.enqueue([transfer(a, b, 1)], atomic=False)
        await commits.reached.wait()
        line.server.move()
        # It has not heard of that yet.
        [late] = stream.enqueue([transfer(a, b, 2)], atomic=False)
        with stream.turn(OWNER, last_key="row", after=None) as turn:
            [row] = turn.enqueue([transfer(a, b, 4)], atomic=False)
        with pytest.raises(LedgerMovedError):
            await late
        with pytest.raises(BankError) as not_taken:
            await row
        assert not_taken.value.code == "unavailable"
        with pytest.raises(LedgerMovedError):
            stream.enqueue([transfer(a, b, 8)], atomic=False)
        hanging_up = asyncio.create_task(line.server.hang_up())
        commits.release()
        assert told(await taken) == "completed"
        await hanging_up
    assert (await process.exact(b))[b].balance_minor == 101
