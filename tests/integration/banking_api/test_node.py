"""Several processes over one database: one decides, the others hand it what they are asked for."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from pymongo.errors import AutoReconnect

from bankctl.local import ports
from daemons.banking_api.app import DAEMON, running_ledger
from daemons.banking_api.books.routes import RELAY_KEY
from daemons.banking_api.ledger import node as node_module
from daemons.banking_api.ledger.front import FrontStream
from daemons.banking_api.ledger.journal import Journal
from daemons.banking_api.ledger.lease import Lease
from daemons.banking_api.ledger.node import LedgerNode, Run
from daemons.banking_api.ledger.pipeline import Pipeline
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.ledger.relay import read_positions
from daemons.banking_api.ledger.seal import Seal
from daemons.banking_api.transactions.routes import TRANSACTIONS_KEY
from daemons.contracts.errors import OutcomeUnknownError
from daemons.shared import lease as lease_module
from daemons.shared.ids import new_id
from daemons.shared.kafka.producer import EventProducer
from daemons.shared.kafka.records import OutgoingRecord
from daemons.shared.lease import Holder
from daemons.shared.mongo import Database, application_name
from tests.faults.mongo_server import MongoServer
from tests.support.bank import CLOSED_PORT, Bank, Person, people, running_bank
from tests.support.commits import held_commits
from tests.support.ledgers import LedgerProcess, told, transfer
from tests.support.nodes import running_node
from tests.support.processes import banking_process
from tests.support.waiting import eventually, patience


@pytest_asyncio.fixture
async def pair(mongo_uri: str) -> AsyncIterator[tuple[AsyncExitStack, Bank, Bank]]:
    """The ledger, which the stack closes, and a front of it."""
    async with AsyncExitStack() as ledger, AsyncExitStack() as front:
        first = await ledger.enter_async_context(running_bank(mongo_uri, kafka_broker=CLOSED_PORT))
        other = await front.enter_async_context(
            running_bank(mongo_uri, kafka_broker=CLOSED_PORT, suffix=first.suffix)
        )
        yield ledger, first, other


def at(bank: Bank, person: Person) -> Person:
    """The person, who asks that process of banking_api."""
    return replace(person, http=bank.http, user_api=bank.user_api, banking_api=bank.banking_api)


async def lease(bank: Bank) -> object:
    found = await bank.ledger["leases"].find_one({"_id": "ledger"})
    return None if found is None else found["holder"]


async def test_all_that_happens_to_an_account_happens_through_any_process(
    pair: tuple[AsyncExitStack, Bank, Bank],
) -> None:
    _, first, other = pair
    alice, bob, operator, sender, receiver = await people(first)
    holder = await lease(first)
    there = at(other, alice)
    paid = await there.transfer(sender, receiver, "10.00", key="k")
    assert paid.status_code == 201, paid.text
    again = await alice.transfer(sender, receiver, "10.00", key="k")
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (paid.json(), "true")
    refused = await there.transfer(sender, receiver, "1000.00")
    assert (refused.status_code, refused.json()["code"]) == (422, "insufficient_funds")
    opened = await there.open_account()
    assert (await at(other, operator).fund(opened, "5.00")).status_code == 201
    frozen = await at(other, operator).patch(f"/accounts/{sender}/freeze", {"reason": "fraud check"})
    assert frozen.json()["status"] == "frozen"
    assert (await alice.transfer(sender, receiver, "1.00")).json()["code"] == "account_frozen"
    twice = await at(other, operator).patch(f"/accounts/{sender}/freeze", {"reason": "fraud check"})
    assert (twice.status_code, twice.json()["code"]) == (409, "account_already_frozen")
    assert await bob.balance(receiver) == "10.00"
    assert await lease(first) == holder
    assert (await operator.get("/ledger/proof")).json()["holds"] is True


def batch(sender: str, receiver: str, *keys: str, after: str | None = None) -> dict[str, object]:
    row = {"from_account": sender, "to_account": receiver, "amount": "1.00", "currency": "EUR"}
    body: dict[str, object] = {"transfers": [{**row, "idempotency_key": key} for key in keys]}
    return body if after is None else {**body, "after": after}


async def test_a_batch_follows_another_through_any_process(
    pair: tuple[AsyncExitStack, Bank, Bank],
) -> None:
    _, first, other = pair
    alice, bob, _, sender, receiver = await people(first)
    for number in range(4):
        keys = [f"{number}-{row}" for row in range(3)]
        after = f"{number - 1}-2" if number else None
        answer = await at((first, other)[number % 2], alice).post(
            "/transactions/batch", batch(sender, receiver, *keys, after=after)
        )
        assert [row["outcome"] for row in answer.json()["results"]] == ["completed"] * 3, answer.text
    never = await at(other, alice).post("/transactions/batch", batch(sender, receiver, "x", after="never"))
    assert (never.status_code, never.json()["code"]) == (409, "batch_before_not_settled")
    assert await bob.balance(receiver) == "12.00"


async def test_a_ledger_that_is_told_to_stop_hands_over_and_no_request_fails(
    pair: tuple[AsyncExitStack, Bank, Bank],
) -> None:
    ledger, first, other = pair
    alice, bob, operator, sender, receiver = await people(first)
    before = await lease(first)
    done = asyncio.Event()
    paid = 0

    async def pay() -> None:
        nonlocal paid
        while not done.is_set():
            answer = await at(other, alice).transfer(sender, receiver, "0.01", key=str(uuid4()))
            assert answer.status_code == 201, answer.text
            assert "Idempotent-Replayed" not in answer.headers
            paid += 1

    async def taken_over() -> bool:
        return await lease(other) not in {None, before}

    async with asyncio.TaskGroup() as payers:
        for _ in range(4):
            payers.create_task(pay())
        await eventually(lambda: is_(paid > 20))
        await ledger.aclose()
        await eventually(taken_over)
        at_take_over = paid
        await eventually(lambda: is_(paid > at_take_over + 20))
        done.set()
    assert await at(other, bob).balance(receiver) == f"{paid / 100:.2f}"
    assert (await at(other, operator).get("/ledger/proof")).json()["holds"] is True


async def is_(state: bool) -> bool:
    await asyncio.sleep(0)
    return state


class MovableLease(Lease):
    """The lease of a process that does not get to the database for a while."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, new_id())
        self.is_stalled = False
        self.looks = 0

    async def take(self, address: str) -> Holder:
        self.looks += 1
        if self.is_stalled:
            raise AutoReconnect("by the test")
        return await super().take(address)


async def let_run_out(database: Database) -> None:
    """Let the lease of whoever has it have run out."""
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    await database["leases"].update_one({"_id": "ledger"}, {"$set": {"until": long_ago}})


async def let_last(database: Database) -> None:
    """Let the lease of whoever has it outlast the test."""
    late = datetime(2100, 1, 1, tzinfo=UTC)
    await database["leases"].update_one({"_id": "ledger"}, {"$set": {"until": late}})


def runs_ledger(database: Database) -> Run:
    """Run a ledger as banking_api does, without a relay."""

    def committed(_seal: Seal, _records: Sequence[Record]) -> None:
        return

    @asynccontextmanager
    async def run(fenced: Callable[[], None]) -> AsyncIterator[Pipeline]:
        async with running_ledger(database.client, database, committed=committed, fenced=fenced) as pipeline:
            yield pipeline

    return run


Nodes = tuple[LedgerNode, MovableLease, LedgerNode, MovableLease]


@pytest_asyncio.fixture
async def nodes(process: LedgerProcess) -> AsyncIterator[Nodes]:
    """Two nodes over the process's database; the first is the ledger."""
    database = process.database
    leases = MovableLease(database), MovableLease(database)
    async with (
        running_node(database, runs_ledger(database), lease=leases[0]) as first,
        running_node(database, runs_ledger(database), lease=leases[1]) as second,
    ):
        assert (first.is_ledger, second.is_ledger) == (True, False)
        try:
            yield first, leases[0], second, leases[1]
        finally:
            for lease_ in leases:
                lease_.is_stalled = False


async def decides(node: LedgerNode) -> bool:
    return await is_(node.is_ledger)


async def decides_no_more(node: LedgerNode) -> bool:
    return not await decides(node)


async def test_of_two_that_take_themselves_for_the_ledger_one_is_fenced_and_steps_down(
    nodes: Nodes, process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, its_lease, second, _ = nodes
    a, b = await process.open(2, balance=100)
    assert told(await first.submit(transfer(a, b, 1))) == "completed"
    monkeypatch.setattr(lease_module, "LEASE_SECONDS", 3600)
    # From their next look on, only a number that was taken has them look at the lease again.
    monkeypatch.setattr(node_module, "RENEW_SECONDS", 3600)
    its_lease.is_stalled, looks = True, its_lease.looks
    await let_run_out(process.database)
    await eventually(lambda: decides(second))
    await eventually(lambda: is_(its_lease.looks > looks))
    assert first.is_ledger
    assert told(await second.submit(transfer(a, b, 60))) == "completed"
    # It knows of 99, and learns better by the number of the seal.
    assert told(await first.submit(transfer(a, b, 60))) == "insufficient_funds"
    assert told(await second.submit(transfer(a, b, 2))) == "completed"
    assert first.is_ledger
    its_lease.is_stalled = False
    assert told(await first.submit(transfer(a, b, 3))) == "completed"
    await eventually(lambda: decides_no_more(first))
    assert second.is_ledger
    # It is a front of the other now.
    assert told(await first.submit(transfer(a, b, 4))) == "completed"
    assert (await process.exact(b))[b].balance_minor == 100 + 1 + 60 + 2 + 3 + 4


async def test_a_command_sent_again_to_the_ledger_that_still_has_it_is_done_once(
    nodes: Nodes, process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream is cut, and both processes go on."""
    _, _, front, _ = nodes
    a, b = await process.open(2, balance=100)
    sent: list[FrontStream] = []
    enqueue = FrontStream.enqueue

    def noted(stream: FrontStream, *arguments: Any, **named: Any) -> Any:
        answers = enqueue(stream, *arguments, **named)
        sent.append(stream)
        return answers

    monkeypatch.setattr(FrontStream, "enqueue", noted)
    with held_commits() as commits:
        paying = asyncio.create_task(front.submit(transfer(a, b, 10)))
        await commits.reached.wait()
        await sent[0].close()
        # It is told that the key is in use, which says nothing of what becomes of it.
        await eventually(lambda: is_(len(sent) >= 3))
        assert not paying.done()
        commits.release()
        outcome = await paying
    assert sent[1] is not sent[0]
    assert (told(outcome), outcome.replayed) == ("completed", False)
    assert (await process.exact(a))[a].balance_minor == 90


async def test_a_command_whose_ledger_nobody_reaches_ends_in_time_and_may_have_been_done(
    nodes: Nodes, process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, its_lease, front, _ = nodes
    a, b = await process.open(2, balance=100)
    monkeypatch.setattr(node_module, "PATIENCE_SECONDS", 2 * node_module._WITHOUT_LEDGER_SECONDS)
    command = transfer(a, b, 10)
    with held_commits() as commits:
        paying = asyncio.create_task(front.submit(command))
        await commits.reached.wait()
        its_lease.is_stalled = True
        await let_last(process.database)
        await first._server._server.stop(grace=None)
        async with patience("the command to end"):
            with pytest.raises(OutcomeUnknownError):
                await paying
    # It may be sent again for as long as its caller likes, and is done once.
    await let_run_out(process.database)
    await eventually(lambda: decides(front))
    outcome = await front.submit(command)
    assert (told(outcome), outcome.replayed) == ("completed", False)
    assert (await process.exact(a))[a].balance_minor == 90


async def test_a_ledger_that_is_gone_is_looked_for_with_pauses(nodes: Nodes, process: LedgerProcess) -> None:
    first, its_lease, front, lease_ = nodes
    its_lease.is_stalled = True
    await let_last(process.database)
    await first._server._server.stop(grace=None)
    begun, looks = asyncio.get_running_loop().time(), lease_.looks
    await eventually(lambda: is_(lease_.looks >= looks + 10))
    took = asyncio.get_running_loop().time() - begun
    assert took > 9 * node_module._WITHOUT_LEDGER_SECONDS
    assert not front.is_ledger


def node_of(bank: Bank) -> LedgerNode:
    """Its process's part in deciding."""
    node = bank.app[TRANSACTIONS_KEY]._ledger
    assert isinstance(node, LedgerNode)
    return node


@asynccontextmanager
async def stalled(bank: Bank) -> AsyncIterator[None]:
    """Within the block the process does not get to the lease, and another may take it."""

    async def take(_address: str) -> Holder:
        raise AutoReconnect("by the test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(node_of(bank)._lease, "take", take)
        await let_run_out(bank.ledger)
        yield


async def test_a_process_that_has_lost_its_lease_publishes_no_more_and_events_keep_their_order(
    mongo_uri: str, kafka_broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    published: list[tuple[EventProducer, str]] = []
    publish = EventProducer.publish

    async def noted(producer: EventProducer, records: Sequence[OutgoingRecord], **named: Any) -> None:
        await publish(producer, records, **named)
        published.extend((producer, record.headers["ce_id"]) for record in records)

    monkeypatch.setattr(EventProducer, "publish", noted)
    async with (
        running_bank(mongo_uri, kafka_broker=kafka_broker) as first,
        running_bank(mongo_uri, kafka_broker=kafka_broker, suffix=first.suffix) as other,
    ):
        alice, bob, operator, sender, receiver = await people(first)
        paid: list[str] = []

        async def pay(*banks: Bank) -> None:
            for number in range(6):
                answer = await at(banks[number % len(banks)], alice).transfer(sender, receiver, "1.00")
                assert answer.status_code == 201, answer.text
                paid.append(answer.json()["id"])

        async def all_is_published() -> bool:
            head = await Journal(first.ledger).head()
            return set((await read_positions(first.ledger)).values()) == {head.number}

        await pay(first, other)
        async with stalled(first):
            await eventually(lambda: decides(node_of(other)))
            await pay(first, other)
            assert node_of(first).is_ledger
        await eventually(lambda: decides_no_more(node_of(first)))
        await eventually(lambda: is_(not first.app[RELAY_KEY]._tasks))
        await eventually(all_is_published)
        before = len(published)
        await pay(first, other)
        await eventually(all_is_published)
        since = published[before:]
        assert [event_id for _, event_id in since] == paid[-6:]
        assert {producer for producer, _ in since} == {other.app[RELAY_KEY]._producer}
        # What both have published counts when it came first.
        in_order = list(dict.fromkeys(event_id for _, event_id in published))
        assert [event_id for event_id in in_order if event_id in set(paid)] == paid
        assert await at(other, bob).balance(receiver) == "18.00"
        assert (await at(other, operator).get("/ledger/proof")).json()["holds"] is True


ROWS = 5


async def test_what_a_front_has_sent_to_a_ledger_that_is_killed_is_done_once_or_said_to_be_unknown(
    tmp_path: Path,
) -> None:
    mongo = MongoServer(tmp_path / "data", ports.pick(1)[0])
    mongo.start()
    try:
        await mongo.initiate()
        async with running_bank(mongo.uri, kafka_broker=CLOSED_PORT) as bank:
            alice, bob, operator, sender, receiver = await people(bank)
            front = node_of(bank)
            with banking_process(bank, mongo.uri, tmp_path / "banking_api.log") as (url, process):
                await eventually(lambda: is_ready(url))
                async with stalled(bank):
                    await eventually(lambda: has_another_ledger(bank, front._lease.id))
                await eventually(lambda: decides_no_more(front))
                await eventually(lambda: is_(front._stream is not None and front._stream.takes_commands))
                rows = batch(sender, receiver, *(str(uuid4()) for _ in range(ROWS)))
                of = application_name(DAEMON, bank.ledger.name)
                slow = {"namespace": f"{bank.ledger.name}.journal", "blockConnection": True}
                await mongo.fail_commands(["insert"], of=of, times=1, blockTimeMS=2000, **slow)
                alone = asyncio.create_task(alice.transfer(sender, receiver, "2.00", key="alone"))
                together = asyncio.create_task(alice.post("/transactions/batch", rows))
                await mongo.until_one_has_failed()
                await eventually(lambda: is_(waiting_at(front) == 1 + ROWS), every_seconds=0.01)
                process.send_signal(signal.SIGKILL)
                told_alone, told_together = await alone, await together
            assert front.is_ledger
            # The front has sent it again under its own id to the next ledger, which is itself.
            assert told_alone.status_code == 201, told_alone.text
            assert "Idempotent-Replayed" not in told_alone.headers
            results = told_together.json()["results"]
            assert [row["problem"]["code"] for row in results] == ["outcome_unknown"] * ROWS
            again = (await alice.post("/transactions/batch", rows)).json()["results"]
            assert [row["outcome"] for row in again] == ["completed"] * ROWS
            assert await bob.balance(receiver) == f"{2 + ROWS}.00"
            assert (await operator.get("/ledger/proof")).json()["holds"] is True
    finally:
        mongo.kill()


def waiting_at(front: LedgerNode) -> int:
    """How many commands a front has sent that have no answer yet."""
    return 0 if front._stream is None else len(front._stream._waiting)


async def has_another_ledger(bank: Bank, not_this: object) -> bool:
    return await lease(bank) not in {None, not_this}


async def is_ready(url: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return (await client.get(f"{url}/readyz")).status_code == 200
        except httpx.TransportError:
            return False
