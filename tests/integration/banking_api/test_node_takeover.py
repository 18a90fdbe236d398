"""Which process is the ledger, and what becomes of commands whose ledger is lost: nodes with real streams."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from daemons.banking_api.app import running_ledger
from daemons.banking_api.kinds.freeze import Freeze
from daemons.banking_api.kinds.table import KINDS, TRANSACTION_KINDS
from daemons.banking_api.ledger import server as server_module
from daemons.banking_api.ledger.lease import Lease
from daemons.banking_api.ledger.node import LedgerNode
from daemons.banking_api.ledger.pipeline import Pipeline
from daemons.banking_api.ledger.readers import RecordReader
from daemons.banking_api.ledger.record import Command, Outcome
from daemons.banking_api.ledger.schema import ensure_schema
from daemons.banking_api.ledger.server import LedgerServer
from daemons.contracts.errors import NotFoundError, TransientError
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.lease import LEASE_SECONDS
from daemons.shared.mongo import Database, connect
from tests.support.ledgers import OPERATOR, funding, opening, told, transfer
from tests.support.waiting import eventually

HOST = "127.0.0.1"


class Node:
    """One process among several; `pipelines` are those it has run, the newest last."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.id = new_id()
        self.address = ""
        self.pipelines: list[Pipeline] = []
        self.server = LedgerServer(KINDS, verify=lambda _: "banking_api", find_approval=self._no_approval)
        self.ledger = LedgerNode(Lease(database, self.id), self.server, self._run, token=lambda: "a token")

    @asynccontextmanager
    async def _run(self, fenced: Callable[[], None]) -> AsyncIterator[Pipeline]:
        running = running_ledger(
            self.database.client, self.database, committed=lambda *_: None, fenced=fenced
        )
        async with running as pipeline:
            self.pipelines.append(pipeline)
            yield pipeline

    async def start(self) -> None:
        self.address = f"{HOST}:{await self.server.start(HOST, 0, None)}"
        await self.ledger.start(self.address)

    async def holds_the_lease(self) -> bool:
        found = await self.database["leases"].find_one({"_id": "ledger"})
        return found is not None and found["holder"] == self.id

    def stand_still(self) -> None:
        """Let it neither renew the lease nor look who holds it."""
        assert self.ledger._task is not None
        self.ledger._task.cancel()

    async def is_the_ledger(self) -> bool:
        return self.ledger.is_ledger

    async def is_front(self) -> bool:
        return not self.ledger.is_ledger

    async def give_lease(self) -> None:
        """Let it hold the lease, whoever does: as after a pause of whoever did."""
        until = utc_now() + timedelta(seconds=LEASE_SECONDS)
        held = {"holder": self.id, "address": self.address, "until": until}
        await self.database["leases"].update_one({"_id": "ledger"}, {"$set": held})

    @staticmethod
    async def _no_approval(_id: UUID) -> Any:
        raise NotFoundError("approval_not_found", "by the test")


@pytest_asyncio.fixture
async def nodes(mongo_uri: str, database_name: str) -> AsyncIterator[tuple[Node, Node]]:
    """The ledger and a front of it, each with connections of its own."""
    async with (
        connect(mongo_uri, daemon="tests") as client,
        connect(mongo_uri, daemon="tests") as other_client,
    ):
        await ensure_schema(client[database_name])
        both = Node(client[database_name]), Node(other_client[database_name])
        for node in both:
            await node.start()
        yield both
        for node in both:
            await node.ledger.close()
            await node.server.close()
        await client.drop_database(database_name)


async def accounts_through(node: Node, *, balance: int = 100) -> tuple[str, str]:
    """Two accounts, with money on the first."""
    numbers = [(await node.ledger.submit(opening(number))).record.data["account"] for number in NUMBERS]
    await node.ledger.submit(funding(numbers[0], balance))
    return numbers[0], numbers[1]


NUMBERS = ("1000000008", "1000000016")


class LostAnswers:
    """Lets the stream end where the next answer would be sent, once: the command is done by then."""

    def __init__(self, patch: pytest.MonkeyPatch, before: Callable[[], None] = lambda: None) -> None:
        self.lost: list[Outcome] = []
        answer = server_module._Stream.answer

        def lose(stream: Any, number: int, outcome: Any) -> None:
            if self.lost:
                answer(stream, number, outcome)
                return
            before()
            self.lost.append(outcome)
            stream.end()

        patch.setattr(server_module._Stream, "answer", lose)


async def test_a_command_whose_answer_was_lost_is_sent_again_as_the_same_command(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, front = nodes
    a, b = await accounts_through(front)
    answers = LostAnswers(monkeypatch)
    command = transfer(a, b, 10)
    outcome = await front.ledger.submit(command)
    assert [told(lost) for lost in answers.lost] == ["completed"]
    assert (outcome.record.id, outcome.replayed) == (command.id, False)
    again = await first.ledger.submit(transfer(a, b, 10, key=command.idempotency_key))
    assert (again.record.id, again.replayed) == (command.id, True)


async def test_what_was_done_is_not_told_as_not_done_because_the_second_sending_was_not(
    nodes: tuple[Node, Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, front = nodes
    a, b = await accounts_through(front)
    [pipeline] = first.pipelines
    refused: list[Command] = []
    enqueue = pipeline.enqueue

    def overloaded(command: Command, *more: Any) -> Any:
        if len(refused) < 2:
            refused.append(command)
            raise TransientError("overloaded", "by the test")
        return enqueue(command, *more)

    answers = LostAnswers(monkeypatch, lambda: monkeypatch.setattr(pipeline, "enqueue", overloaded))
    outcome = await front.ledger.submit(transfer(a, b, 10))
    assert [len(answers.lost), len(refused)] == [1, 2]
    assert (told(outcome), outcome.replayed) == ("completed", False)
    # A first sending that is refused is told as what it is.
    refused.clear()
    with pytest.raises(TransientError):
        await front.ledger.submit(transfer(a, b, 10))


async def test_a_ledger_that_has_lost_its_lease_becomes_a_front(nodes: tuple[Node, Node]) -> None:
    first, other = nodes
    a, b = await accounts_through(first)
    assert (first.ledger.is_ledger, other.ledger.is_ledger) == (True, False)
    await other.give_lease()

    await eventually(other.is_the_ledger)
    await eventually(first.is_front)
    outcomes = await asyncio.gather(
        *(node.ledger.submit(transfer(a, b, 1)) for node in (first, other) for _ in range(20))
    )
    assert {told(outcome) for outcome in outcomes} == {"completed"}
    assert await other.holds_the_lease()
    assert [len(node.pipelines) for node in nodes] == [1, 1]


async def test_a_ledger_that_stops_after_it_has_lost_its_lease_leaves_it_to_the_other(
    nodes: tuple[Node, Node],
) -> None:
    first, other = nodes
    other.stand_still()
    await other.give_lease()
    await first.ledger.close()
    assert await other.holds_the_lease()


async def test_a_ledger_finds_out_by_its_next_command_that_another_one_writes(
    nodes: tuple[Node, Node],
) -> None:
    first, other = nodes
    a, b = await accounts_through(first)
    await other.give_lease()
    other.ledger._changed.set()
    await eventually(other.is_the_ledger)
    assert told(await other.ledger.submit(transfer(a, b, 60))) == "completed"
    # It knows of 100, or has stepped down by now; either way the other's payment counts.
    assert told(await first.ledger.submit(transfer(a, b, 60))) == "insufficient_funds"
    await eventually(first.is_front)
    assert told(await first.ledger.submit(transfer(a, b, 40))) == "completed"


async def test_commands_of_a_front_whose_ledger_is_gone_are_done_by_the_front_itself(
    nodes: tuple[Node, Node],
) -> None:
    first, front = nodes
    a, b = await accounts_through(front)
    # As kill -9 leaves it: the lease stays, and nobody renews it or answers.
    first.stand_still()
    await first.server.close()
    outcomes = await asyncio.gather(*(front.ledger.submit(transfer(a, b, 1)) for _ in range(10)))
    assert {(told(outcome), outcome.replayed) for outcome in outcomes} == {("completed", False)}
    assert front.ledger.is_ledger


async def test_a_freeze_stops_payments_that_are_under_way_through_any_process(
    nodes: tuple[Node, Node],
) -> None:
    a, b = await accounts_through(nodes[0], balance=10_000)
    stopping = asyncio.Event()
    told_so_far: list[str] = []

    async def pay(node: Node) -> None:
        while not stopping.is_set():
            # As much comes back: however long the freeze takes, there is money to pay.
            there = told(await node.ledger.submit(transfer(a, b, 1)))
            back = told(await node.ledger.submit(transfer(b, a, 1)))
            told_so_far.extend([there, back])

    async def under_way() -> bool:
        return len(told_so_far) > 50

    async with asyncio.TaskGroup() as payers:
        for node in nodes * 4:
            payers.create_task(pay(node))
        await eventually(under_way)
        frozen = await nodes[1].ledger.submit(
            Freeze(initiator=OPERATOR, idempotency_key="freeze", account_id=a, reason="a test")
        )
        # What is asked for from now on is refused, through either.
        for node in nodes:
            assert told(await node.ledger.submit(transfer(a, b, 1))) == "account_frozen"
            assert told(await node.ledger.submit(transfer(b, a, 1))) == "account_frozen"
        stopping.set()
    assert set(told_so_far) <= {"completed", "account_frozen"}
    records = RecordReader(nodes[0].database.client, nodes[0].database, kinds=TRANSACTION_KINDS)
    found, _ = await records.states_for([], also=[a])
    entry = frozen.record.entry_of(a)
    assert entry is not None
    assert (found[a].balance_minor, found[a].sequence) == (entry.balance_after_minor, entry.sequence)
