"""A process's ledger by itself: what it reads, keeps, writes down and gives up."""

import asyncio
from collections.abc import Sequence

import pytest
from daemons.banking_api.domain.decision import NothingPostedError
from daemons.banking_api.domain.journal import BookingAct
from daemons.banking_api.storage import mongo_ledger
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect
from structlog.testing import capture_logs

from daemons.contracts.errors import BankError, OutcomeUnknownError, TransientError
from daemons.shared.audit.record import SHELL
from tests.support.commits import unanswered_commits
from tests.support.ledgers import BANK, Acts, LedgerProcess, funding, ledger_process, told, transfer
from tests.support.waiting import eventually


async def test_accounts_are_read_as_the_journal_says_and_so_is_what_is_stored_under_keys(
    process: LedgerProcess,
) -> None:
    a, b, c = await process.open(3, balance=100)
    [paid] = await process.post([transfer(a, b, 30, key="one")])
    exact = await process.exact(a, b, c)
    # As written down none of them holds anything.
    commands = [transfer(a, b, 1, key="one"), transfer(a, "1234567897", 1, key="two")]
    assert await process.ledger.read_accounts(commands) == {a: exact[a], b: exact[b]}
    accounts, stored = await process.ledger.read_accounts_and_stored(commands, also=[c, "nowhere"])
    assert accounts == exact
    assert stored == {paid.transaction.idempotency_id: paid.transaction}


async def test_a_process_that_starts_reads_accounts_before_they_are_needed(
    mongo_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        ledger_process(mongo_uri, database_name) as earlier,
        ledger_process(mongo_uri, database_name) as process,
    ):
        a, b = await earlier.open(2, balance=100)
        await earlier.ledger.close()

        async def a_majority_has_it() -> bool:
            found = await process.database["accounts"].find_one({"_id": b})
            return found is not None and found["balance"] == 100

        await eventually(a_majority_has_it)
        process.ledger.start()
        await eventually(lambda: knows(process, a, b))
        read = count_reads(monkeypatch)
        assert await process.pay(a, b, 10) == "completed"
        assert read == []
        await process.ledger.close()
        assert (await process.written(a), await process.written(b)) == ((90, 2), (110, 2))
        # What stands there is not written again.
        await process.database["accounts"].update_one({"_id": a}, {"$set": {"balance": 1, "sequence": 1}})
        await process.ledger.close()
        assert await process.written(a) == (1, 1)


async def test_what_is_stored_is_read_as_of_the_moment_as_of_which_accounts_are(
    process: LedgerProcess, mongo_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)
    command = transfer(a, b, 30, key="one")
    async with ledger_process(mongo_uri, database_name) as other:
        aggregate, paid = AsyncCollection.aggregate, asyncio.Event()

        async def pay_meanwhile(
            collection: AsyncCollection[dict[str, object]], *more: object, **named: object
        ) -> object:
            found = await aggregate(collection, *more, **named)  # type: ignore[arg-type]
            if not paid.is_set():
                paid.set()
                assert await other.pay(a, b, 30, key="one") == "completed"
            return found

        monkeypatch.setattr(AsyncCollection, "aggregate", pay_meanwhile)
        accounts, stored = await process.ledger.read_accounts_and_stored([command], also=[])
        assert (accounts[a].balance_minor, stored) == (100, {})
        accounts, stored = await process.ledger.read_accounts_and_stored([command], also=[])
        assert (accounts[a].balance_minor, len(stored)) == (70, 1)


async def test_what_cannot_be_read_beforehand_or_written_down_keeps_no_payment(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)

    def unreachable(*_arguments: object, **_named: object) -> None:
        raise AutoReconnect("by the test")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(AsyncCollection, "find", unreachable)
        process.ledger.start()
        await eventually(lambda: are_logged(logs, 1))
        assert await process.pay(a, b, 10) == "completed"
        patch.setattr(AsyncDatabase, "command", unreachable)
        await process.ledger.close()
    lines = [(line["event"], line["reason"], line.get("accounts")) for line in logs]
    assert lines == [
        ("accounts not read beforehand", "AutoReconnect", None),
        ("accounts not written down", "AutoReconnect", 3),
    ]
    assert await process.pay(a, b, 10) == "completed"


async def are_logged(logs: Sequence[object], count: int) -> bool:
    """Whether so many lines are logged."""
    await asyncio.sleep(0)
    return len(logs) == count


async def knows(process: LedgerProcess, *accounts: str) -> bool:
    """Whether the process has read the accounts without being asked."""
    await asyncio.sleep(0)
    return set(process.ledger._accounts._working_set.known(accounts)) == set(accounts)


def count_reads(patch: pytest.MonkeyPatch) -> list[str]:
    """Note from which collections something is read."""
    read: list[str] = []
    find, aggregate = AsyncCollection.find, AsyncCollection.aggregate

    def noted_find(collection: AsyncCollection[dict[str, object]], *more: object, **named: object) -> object:
        read.append(collection.name)
        return find(collection, *more, **named)  # type: ignore[arg-type]

    async def noted_aggregate(
        collection: AsyncCollection[dict[str, object]], *more: object, **named: object
    ) -> object:
        read.append(collection.name)
        return await aggregate(collection, *more, **named)  # type: ignore[arg-type]

    patch.setattr(AsyncCollection, "find", noted_find)
    patch.setattr(AsyncCollection, "aggregate", noted_aggregate)
    return read


async def test_what_is_known_is_not_read_again_and_what_a_refusal_rests_on_is(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)
    read = count_reads(monkeypatch)
    assert await process.pay(a, b, 10, key="one") == "completed"
    assert read == []
    assert await process.pay(a, b, 100) == "insufficient_funds"
    assert read == ["accounts"]
    read.clear()
    # A key of lately is looked for at once, and costs no attempt.
    [again] = await process.post([transfer(a, b, 10, key="one")])
    assert (again.replayed, read) == (True, ["journal"])


async def test_where_others_are_new_what_only_this_process_knows_is_written_down_once(
    process: LedgerProcess,
) -> None:
    a, b = await process.open(2, balance=100)
    assert await process.written(a) == (0, 0)
    process.writers.newcomers = True
    assert await process.pay(a, b, 10) == "completed"
    # As of before the group, which the others find in the journal.
    assert (await process.written(a), process.writers.newcomers) == ((100, 1), False)
    assert await process.written(BANK) == (-200, 2)
    assert await process.pay(a, b, 10) == "completed"
    assert await process.written(a) == (100, 1)


async def test_a_replay_alone_writes_nothing(process: LedgerProcess) -> None:
    a, b = await process.open(2, balance=100)
    await process.pay(a, b, 10, key="one")
    written = await process.database["outbox"].count_documents({})
    [again, reused] = await process.post([transfer(a, b, 10, key="one"), transfer(a, b, 11, key="one")])
    assert (again.replayed, reused.key_reused) == (True, True)
    assert await process.database["outbox"].count_documents({}) == written
    last = await process.database["outbox"].find().sort("_id", -1).limit(1).to_list()
    assert [(entry["body"], entry["events"]) for entry in last] == [
        ({"transactions": [again.transaction.id]}, 1)
    ]


async def test_a_group_that_has_no_time_left_is_not_committed(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)
    # So long must be left at least, and there never is.
    monkeypatch.setattr(mongo_ledger, "_TIME_TO_COMMIT_SECONDS", 8.0)
    monkeypatch.setattr(mongo_ledger, "TRANSACTION_TIMEOUT_SECONDS", 0.3)
    with pytest.raises(TransientError) as busy:
        await process.pay(a, b, 10, key="one")
    assert (busy.value.code, busy.value.retry_after_seconds) == ("unavailable", 1)
    monkeypatch.undo()
    [outcome] = await process.post([transfer(a, b, 10, key="one")])
    assert (told(outcome), outcome.replayed) == ("completed", False)


async def test_a_group_does_not_wait_for_ever_for_those_before_it(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)
    monkeypatch.setattr(mongo_ledger, "_LONGEST_WAIT_SECONDS", 0.05)
    place = process.ledger.take_place()
    # It is never decided.
    with pytest.raises(TransientError) as busy:
        await process.pay(a, b, 10)
    assert (busy.value.code, busy.value.retry_after_seconds) == ("unavailable", 1)
    place.leave()
    assert await process.pay(a, b, 10) == "completed"


async def test_an_unknown_commit_that_cannot_be_read_back_stays_unknown(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)

    def unreachable(*_arguments: object, **_named: object) -> None:
        raise AutoReconnect("by the test")

    with unanswered_commits(), monkeypatch.context() as patch:
        patch.setattr(AsyncCollection, "find", unreachable)
        with pytest.raises(OutcomeUnknownError) as unknown:
            await process.pay(a, b, 10, key="one")
    assert (unknown.value.code, unknown.value.retry_after_seconds) == ("outcome_unknown", 1)
    [again] = await process.post([transfer(a, b, 10, key="one")])
    assert again.replayed


async def test_a_witness_is_told_of_new_acts_only_and_of_none_of_a_refused_atomic_group(
    mongo_uri: str, database_name: str
) -> None:
    acts, by_hand = Acts(), BookingAct(actor=SHELL)
    async with ledger_process(mongo_uri, database_name, witness=acts) as process:
        a, b = await process.open(2, balance=100)
        first = funding(a, 1, key="one", act=by_hand)
        [done] = await process.post([first])
        second = funding(b, 2, key="two", act=by_hand)
        group = [transfer(a, b, 1), first, funding(a, 9, key="one", act=by_hand), second]
        outcomes = await process.post(group)
        assert acts.told == [(first, done.transaction), (second, outcomes[3].transaction)]
        with pytest.raises(NothingPostedError) as nothing:
            await process.post_atomic([funding(a, 3, key="three", act=by_hand), transfer(a, b, 999)])
        assert [one.code for one in nothing.value.told if isinstance(one, BankError)] == [
            "atomic_batch_refused",
            "insufficient_funds",
        ]
        assert str(nothing.value) == "an atomic group was refused"
        assert len(acts.told) == 2
