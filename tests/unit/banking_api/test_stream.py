"""The stream between a front and the ledger: what one command or one caller meets is nobody else's fault."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import UUID

import pytest

from bankctl.local import ports
from daemons.banking_api.kinds.freeze import Freeze
from daemons.banking_api.kinds.table import KINDS
from daemons.banking_api.ledger import front as front_module
from daemons.banking_api.ledger.batches import Batch, Batches
from daemons.banking_api.ledger.front import FrontStream
from daemons.banking_api.ledger.ledger import LedgerMovedError, NotTakenError
from daemons.banking_api.ledger.node import PATIENCE_SECONDS
from daemons.banking_api.ledger.pipeline import Pipeline
from daemons.banking_api.ledger.record import Command, Outcome, Record
from daemons.banking_api.ledger.server import LedgerServer, _Stream, address_of
from daemons.banking_api.ledger.wire import command_document, unpack
from daemons.contracts.errors import BankError, TransientError
from daemons.shared.approvals.approval import Approval
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.tasks import end_task
from tests.support.waiting import eventually, patience

LOOPBACK = "127.0.0.1"
USER = UUID(int=7)


class HeldPipeline:
    """Decides nothing until it is told to."""

    def __init__(self) -> None:
        self.taken: list[tuple[Command, asyncio.Future[Outcome]]] = []

    def enqueue(self, command: Command, batch: Batch | None = None) -> asyncio.Future[Outcome]:
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        if batch is not None:
            batch.join()
            answer.add_done_callback(lambda _: batch.end(None))
        self.taken.append((command, answer))
        return answer

    def settle(self) -> None:
        for command, answer in self.taken:
            if not answer.done():
                answer.set_result(Outcome(record_of(command)))


def record_of(command: Command) -> Record:
    return Record(
        command.id,
        command.kind,
        command.initiator,
        command.idempotency_id,
        command.fingerprint,
        utc_now(),
        (),
        {},
    )


class Ledger:
    """A process that is the ledger, and what it has taken."""

    def __init__(self, server: LedgerServer, address: str) -> None:
        self.server = server
        self.address = address
        self.pipeline = HeldPipeline()
        self.serve()

    def serve(self) -> None:
        self.server.serve(cast("Pipeline", self.pipeline), Batches())

    async def takes(self, count: int) -> None:
        await eventually(lambda: _is(len(self.pipeline.taken) == count))


async def _is(state: bool) -> bool:
    await asyncio.sleep(0)
    return state


async def no_approval(_: UUID) -> Approval:
    raise AssertionError("no command of these tests carries out an approval")


@asynccontextmanager
async def ledger() -> AsyncIterator[Ledger]:
    server = LedgerServer(KINDS, verify=lambda _: "banking_api", find_approval=no_approval)
    port = await server.start(LOOPBACK, 0, None)
    try:
        yield Ledger(server, address_of(LOOPBACK, port))
    finally:
        server.move()
        async with patience("the streams to end", seconds=5):
            await server.hang_up()
        await server.close()


@asynccontextmanager
async def front(address: str) -> AsyncIterator[FrontStream]:
    stream = FrontStream(address, token=lambda: "", tls=None, moved=lambda: None)
    stream.start()
    try:
        yield stream
    finally:
        await stream.close()


def command() -> Freeze:
    return Freeze(initiator=USER, idempotency_key=str(new_id()), account_id="4000000006", reason="r")


async def told(answer: "asyncio.Future[Any]") -> str:
    """What a caller is told: a BankError's code, or what became of the stream."""
    async with patience("an answer", seconds=5):
        try:
            await answer
        except BankError as error:
            return error.code
        except LedgerMovedError:
            return "moved"
    return "done"


async def test_a_command_of_another_version_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def of_another_version(one: Command) -> dict[str, Any]:
        return {**command_document(one), **({"kind": "standing_order"} if one is strange else {})}

    strange, usual = command(), command()
    monkeypatch.setattr(front_module, "command_document", of_another_version)
    async with ledger() as there, front(there.address) as stream:
        answers = [stream.enqueue([one], atomic=False)[0] for one in (strange, usual)]
        assert await told(answers[0]) == "internal"
        await there.takes(1)
        there.pipeline.settle()
        assert await told(answers[1]) == "done"


async def test_a_batch_that_is_given_up_while_it_waits_disturbs_nobody() -> None:
    async with ledger() as there, front(there.address) as stream:
        with (
            stream.turn(USER, last_key="a", after=None) as before,
            stream.turn(USER, last_key="b", after="a") as turn,
        ):
            coming = asyncio.create_task(turn.come())
            [other] = stream.enqueue([command()], atomic=False)
            await there.takes(1)
            coming.cancel()
            await asyncio.wait([coming])
            before.begun()
            [last] = stream.enqueue([command()], atomic=False)
            await there.takes(2)
            there.pipeline.settle()
            assert [await told(other), await told(last)] == ["done", "done"]


async def test_a_batch_whose_stream_has_ended_does_not_wait_for_its_turn() -> None:
    async with ledger() as there, front(there.address) as stream:
        with stream.turn(USER, last_key="b", after="a") as turn:
            await stream.close()
            assert await told(asyncio.ensure_future(turn.come())) == "batch_before_not_settled"


async def test_what_a_front_could_not_hand_over_holds_back_the_batch_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(front_module, "WAITING_LIMIT", 1)
    async with ledger() as there, front(there.address) as stream:
        with stream.turn(USER, last_key="a", after=None) as before:
            before.enqueue([command()], atomic=False)
            with pytest.raises(TransientError) as overloaded:
                before.enqueue([command()], atomic=False)
            before.note(overloaded.value)
            before.begun()
            with stream.turn(USER, last_key="b", after="a") as turn:
                assert await told(asyncio.ensure_future(turn.come())) == "batch_before_not_settled"
        there.pipeline.settle()


async def test_a_batch_that_ends_after_its_ledger_has_moved_lets_go_of_those_behind() -> None:
    async with ledger() as there, front(there.address) as stream:
        before = stream.turn(USER, last_key="a", after=None)
        before.__enter__()
        with stream.turn(USER, last_key="b", after="a") as turn:
            coming = asyncio.create_task(turn.come())
            [sent] = stream.enqueue([command()], atomic=False)
            await there.takes(1)
            there.server.move()
            there.pipeline.settle()
            assert await told(sent) == "done"
            assert not coming.done()
            before.__exit__(None, None, None)
            assert await told(coming) == "batch_before_not_settled"
        await there.server.hang_up()


async def test_rows_of_a_batch_that_was_opened_before_the_process_was_the_ledger_are_not_taken() -> None:
    async with ledger() as there, front(there.address) as stream:
        there.server.move()
        with stream.turn(USER, last_key="a", after=None) as turn:
            [late] = turn.enqueue([command()], atomic=False)
            assert await told(late) == "unavailable"
            there.serve()
            stream._has_moved = False
            [row] = turn.enqueue([command()], atomic=False)
            assert await told(row) == "unavailable"
            [lone] = stream.enqueue([command()], atomic=False)
            await there.takes(1)
            there.pipeline.settle()
            assert await told(lone) == "done"


async def test_a_stream_that_ends_with_something_left_to_say_says_it_and_ends() -> None:
    stream = _Stream()
    stream.say({"n": 1})
    said: list[Sequence[object]] = []
    async with patience("the stream to end", seconds=5):
        async for message in stream.messages():
            said.append(unpack(message)["items"])
            if len(said) == 1:
                stream.say({"n": 2})
                stream.end()
    assert said == [[{"n": 1}], [{"n": 2}]]


class Network:
    """Between a front and the ledger; once it is cut, nothing arrives and nobody is told."""

    def __init__(self) -> None:
        self.is_cut = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def to(self, address: str) -> AsyncIterator[str]:
        host, port = address.split(":")

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            there, back = await asyncio.open_connection(host, int(port))
            self._ends += (writer, back)
            for source, target in ((reader, back), (there, writer)):
                self._tasks.add(asyncio.create_task(self._carry(source, target)))

        listening = await asyncio.start_server(connected, LOOPBACK, 0)
        try:
            yield address_of(LOOPBACK, listening.sockets[0].getsockname()[1])
        finally:
            for task in self._tasks:
                await end_task(task)
            for end in self._ends:
                end.close()
            listening.close()

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            if not self.is_cut:
                target.write(data)


@pytest.mark.parametrize("of_batch", [False, True])
async def test_what_never_left_the_front_is_not_said_to_be_unknown(of_batch: bool) -> None:
    [port] = ports.pick(1)
    async with front(f"127.0.0.1:{port}") as stream:
        with stream.turn(USER, last_key="row", after=None) as turn:
            [answer] = (turn if of_batch else stream).enqueue([command()], atomic=False)
            async with patience("the front to find nobody"):
                with pytest.raises(TransientError if of_batch else NotTakenError):
                    await answer


async def test_a_ledger_whose_network_is_gone_is_not_waited_for() -> None:
    network = Network()
    async with ledger() as there, network.to(there.address) as address, front(address) as stream:
        [answer] = stream.enqueue([command()], atomic=False)
        await there.takes(1)
        network.is_cut = True
        there.pipeline.settle()
        async with patience("the front to find out", seconds=PATIENCE_SECONDS):
            with pytest.raises(LedgerMovedError):
                await answer
        assert not stream.takes_commands
