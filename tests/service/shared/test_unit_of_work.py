"""Attempts at a transaction over a real MongoDB: committed once with their records, or not at all."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError

from daemons.contracts.errors import OutcomeUnknownError, TransientError
from daemons.shared import mongo
from daemons.shared.audit.record import SHELL, AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.audit.unit_of_work import AuditedTransaction, UnitOfWork
from daemons.shared.mongo import Database, connect

ENTRY = AuditEntry(
    at=datetime(2026, 11, 30, tzinfo=UTC),
    actor=SHELL,
    action="add",
    target_kind="thing",
    target_id="1",
    reason=None,
    before=None,
    after=None,
)


class Store:
    """A daemon with one collection, whose only act adds one to a number and records it."""

    def __init__(self, database: Database) -> None:
        self.things = database["things"]
        self.audit = MongoAuditTrail(database, chain="tests")
        self.work = UnitOfWork(database.client, self.audit, AuditedTransaction)
        self.runs = 0

    async def add(self, meanwhile: Any = None) -> None:
        async for attempt in self.work.attempts():
            async with attempt as tx:
                self.runs += 1
                tx.audit(ENTRY)
                await self.things.find_one({"_id": 1}, session=tx.session)
                if meanwhile is not None:
                    await meanwhile()
                await self.things.update_one({"_id": 1}, {"$inc": {"number": 1}}, session=tx.session)

    async def state(self) -> tuple[int, int]:
        """Return the number and how many records there are."""
        thing, head = await self.things.find_one({"_id": 1}), await self.audit.head()
        assert thing is not None
        assert head is not None
        return thing["number"], head.count


@pytest.fixture
async def store(mongo_uri: str, database_name: str) -> AsyncIterator[Store]:
    async with connect(mongo_uri, daemon="tests") as client:
        store = Store(client[database_name])
        await store.audit.prepare()
        await store.things.insert_one({"_id": 1, "number": 0})
        yield store


def failing_commits(monkeypatch: pytest.MonkeyPatch, *faults: PyMongoError, done: bool = False) -> list[int]:
    """Let the next commits meet these faults, each undone, or done and not answered; returns their count."""
    commit, left, seen = AsyncClientSession.commit_transaction, list(faults), [0]

    async def then(session: AsyncClientSession) -> None:
        seen[0] += 1
        if not left:
            return await commit(session)
        fault = left.pop(0)
        await (commit(session) if done else session.abort_transaction())
        raise fault

    monkeypatch.setattr(AsyncClientSession, "commit_transaction", then)
    return seen


def fault(label: str, code: int = 91) -> OperationFailure:
    return OperationFailure("planted", code, {"errorLabels": [label]})


async def test_what_is_written_and_its_record_are_committed_together(store: Store) -> None:
    await store.add()
    assert await store.state() == (1, 1)
    assert store.runs == 1


async def test_what_the_block_raises_undoes_all_of_it_and_lets_the_next_one_in(store: Store) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.add(fail)
    assert (await store.state(), store.runs) == ((0, 0), 1)
    await store.add()
    assert await store.state() == (1, 1)


async def test_a_block_that_meets_another_transaction_runs_again_from_its_beginning(store: Store) -> None:
    async def change() -> None:
        if store.runs < 3:
            await store.things.update_one({"_id": 1}, {"$inc": {"number": 10}})

    await store.add(change)
    assert store.runs == 3
    # Each attempt has its own entries.
    assert await store.state() == (21, 1)


async def test_a_commit_that_is_undone_by_a_passing_fault_is_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_commits(monkeypatch, fault("TransientTransactionError"), fault("TransientTransactionError"))
    await store.add()
    assert (await store.state(), store.runs) == ((1, 1), 3)


async def test_a_commit_that_is_not_answered_is_asked_for_again_and_has_its_effect_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = failing_commits(monkeypatch, fault("UnknownTransactionCommitResult"), done=True)
    await store.add()
    assert seen == [2]
    assert (await store.state(), store.runs) == ((1, 1), 1)


async def test_a_commit_whose_outcome_stays_unknown_is_told_as_such(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran_out_of_time = 50
    failing_commits(monkeypatch, fault("UnknownTransactionCommitResult", ran_out_of_time), done=True)
    with pytest.raises(OutcomeUnknownError):
        await store.add()
    assert await store.state() == (1, 1)


@pytest.mark.parametrize("code", [None, 13])
async def test_another_fault_of_the_commit_is_not_repeated(
    store: Store, monkeypatch: pytest.MonkeyPatch, code: int | None
) -> None:
    failing_commits(monkeypatch, OperationFailure("planted", code))
    with pytest.raises(TransientError) as refused:
        await store.add()
    assert (refused.value.code, store.runs) == ("unavailable", 1)
    monkeypatch.undo()
    assert await store.state() == (0, 0)
    await store.add()


async def test_what_cannot_be_recorded_is_not_done(store: Store) -> None:
    await store.audit._heads.delete_many({})
    with pytest.raises(RuntimeError, match="lost its head"):
        await store.add()
    thing = await store.things.find_one({"_id": 1})
    assert thing == {"_id": 1, "number": 0}


async def test_a_refused_document_is_told_as_it_is(store: Store) -> None:
    async def insert() -> None:
        raise DuplicateKeyError("planted", 11000)

    with pytest.raises(DuplicateKeyError):
        await store.add(insert)
    assert (await store.state(), store.runs) == ((0, 0), 1)


async def test_attempts_end_with_their_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongo, "TRANSACTION_TIMEOUT_SECONDS", 0.2)

    async def change() -> None:
        # By another client's session: not within the time of this one.
        await asyncio.shield(asyncio.create_task(_increase(store)))

    with pytest.raises(TransientError) as late:
        await store.add(change)
    assert late.value.code == "unavailable"
    assert store.runs > 1
    monkeypatch.undo()
    _, records = await store.state()
    assert records == 0
    await store.add()


async def _increase(store: Store) -> None:
    await store.things.update_one({"_id": 1}, {"$inc": {"number": 10}})


async def test_one_that_is_cancelled_leaves_no_transaction_and_lets_the_next_one_in(store: Store) -> None:
    entered = asyncio.Event()

    async def wait() -> None:
        entered.set()
        await asyncio.Event().wait()

    first = asyncio.create_task(store.add(wait))
    await entered.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    await store.add()
    assert await store.state() == (1, 1)


async def test_units_of_one_process_take_turns(store: Store) -> None:
    await asyncio.gather(*(store.add() for _ in range(20)))
    # None met another one.
    assert (await store.state(), store.runs) == ((20, 20), 20)
