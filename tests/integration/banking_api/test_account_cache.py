"""What the ledger's process keeps of accounts: what it reads, knows and writes down."""

import asyncio
from collections.abc import Collection, Sequence

import pytest
from pymongo import _csot
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import AutoReconnect, NetworkTimeout
from structlog.testing import capture_logs

from daemons.banking_api.app import running_ledger
from daemons.banking_api.ledger import account_cache
from daemons.banking_api.ledger.account_cache import AccountCache
from daemons.banking_api.ledger.pipeline import Pipeline
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.ledger.seal import Seal
from daemons.shared.mongo import Session, transaction_options
from tests.support.ledgers import OWNER, LedgerProcess, ledger_process, told, transfer
from tests.support.waiting import eventually


def nobody_is_told(_seal: Seal, _records: Sequence[Record]) -> None:
    """Of commits of which no test asks."""


async def knows(pipeline: Pipeline, *accounts: str) -> bool:
    """Whether the pipeline has accounts in memory."""
    await asyncio.sleep(0)
    return set(accounts) <= set(pipeline._accounts._kept)


async def a_majority_has(process: LedgerProcess, account: str, balance: int) -> bool:
    """Whether what was written down would be read."""
    found = await process.database["accounts"].find_one({"_id": account})
    return found is not None and found["balance"] == balance


def count_reads(patch: pytest.MonkeyPatch) -> list[str]:
    """Note from which collections something is read."""
    read: list[str] = []
    find, aggregate = AsyncCollection.find, AsyncCollection.aggregate
    search = AsyncDatabase.aggregate

    def noted_find(collection: AsyncCollection[dict[str, object]], *more: object, **named: object) -> object:
        read.append(collection.name)
        return find(collection, *more, **named)  # type: ignore[arg-type]

    async def noted_aggregate(
        collection: AsyncCollection[dict[str, object]], *more: object, **named: object
    ) -> object:
        read.append(collection.name)
        return await aggregate(collection, *more, **named)  # type: ignore[arg-type]

    async def noted_search(
        database: AsyncDatabase[dict[str, object]], *more: object, **named: object
    ) -> object:
        read.append("newest")
        return await search(database, *more, **named)  # type: ignore[arg-type]

    patch.setattr(AsyncDatabase, "aggregate", noted_search)
    patch.setattr(AsyncCollection, "find", noted_find)
    patch.setattr(AsyncCollection, "aggregate", noted_aggregate)
    return read


async def test_a_ledger_that_starts_reads_accounts_before_they_are_needed(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)
    await process.cache.write_down()
    await eventually(lambda: a_majority_has(process, b, 100))
    running = running_ledger(process.database.client, process.database, committed=nobody_is_told)
    async with running as pipeline:
        await eventually(lambda: knows(pipeline, a, b))
        read = count_reads(monkeypatch)
        assert told(await pipeline.submit(transfer(a, b, 10))) == "completed"
        # The end of the chain and what it rests on, once.
        assert read == ["journal", "journal"]
        assert told(await pipeline.submit(transfer(a, b, 10))) == "completed"
        assert read == ["journal", "journal"]
    assert (await process.written(a), await process.written(b)) == ((80, 3), (120, 3))
    # What stands there is not written again.
    await process.database["accounts"].update_one({"_id": a}, {"$set": {"balance": 100, "sequence": 1}})
    await pipeline._accounts.write_down()
    assert await process.written(a) == (100, 1)


async def test_what_cannot_be_read_beforehand_or_written_down_keeps_no_payment(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)

    def unreachable(*_arguments: object, **_named: object) -> None:
        raise AutoReconnect("by the test")

    async def are_logged(count: int) -> bool:
        await asyncio.sleep(0)
        return len(logs) == count

    running = running_ledger(process.database.client, process.database, committed=nobody_is_told)
    with capture_logs() as logs:
        with monkeypatch.context() as patch:
            patch.setattr(AsyncCollection, "find", unreachable)
            pipeline = await running.__aenter__()
            await eventually(lambda: are_logged(1))
        assert told(await pipeline.submit(transfer(a, b, 10))) == "completed"
        with monkeypatch.context() as patch:
            patch.setattr(AsyncDatabase, "command", unreachable)
            await running.__aexit__(None, None, None)
    lines = [(line["event"], line["reason"], line.get("accounts")) for line in logs]
    assert lines == [
        ("accounts not read beforehand", "AutoReconnect", None),
        ("accounts not written down", "AutoReconnect", 2),
    ]
    assert await process.pay(a, b, 10) == "completed"


async def test_what_is_known_is_not_read_again(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)
    read = count_reads(monkeypatch)
    assert await process.pay(a, b, 10, key="one") == "completed"
    # What it knows is exact, and a refusal takes the seal's number.
    assert await process.pay(a, b, 100) == "insufficient_funds"
    assert read == []
    # A key of lately is looked for at once, and costs no attempt.
    [again] = await process.post([transfer(a, b, 10, key="one")])
    assert (again.replayed, read) == (True, ["journal"])


async def test_what_a_refusal_rests_on_is_read_exactly_if_it_may_lag(
    process: LedgerProcess, mongo_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)
    async with ledger_process(mongo_uri, database_name) as late:
        read = count_reads(monkeypatch)
        # As written down it holds nothing.
        assert await late.pay(a, b, 101) == "insufficient_funds"
        assert read == ["journal", "journal", "accounts", "accounts", "newest"]
        assert await late.pay(a, b, 100) == "completed"
        read.clear()
        # It has taken their newest numbers.
        assert await late.pay(a, b, 1) == "insufficient_funds"
        assert read == []


async def test_what_was_read_exactly_does_not_replace_what_was_committed_meanwhile(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)
    process.cache.forget_all()
    await process.cache.warm_up()
    newest = process.journal.newest

    async def after_a_commit(ids: Collection[str], *, session: Session | None) -> dict[str, tuple[int, int]]:
        monkeypatch.undo()
        assert await process.fund(a, 100) == "completed"
        return await newest(ids, session=session)

    monkeypatch.setattr(process.journal, "newest", after_a_commit)
    async with (
        process.database.client.start_session() as session,
        await session.start_transaction(**transaction_options()),
    ):
        # A group that is going to be undone, because one before it is decided anew and committed.
        found = await process.cache.read({a}, {}, {a}, session)
    assert found[a].balance_minor == 100
    assert await process.pay(a, b, 150) == "completed"


async def test_no_more_accounts_are_read_beforehand_than_there_is_room_for_and_none_over_what_is_known(
    process: LedgerProcess,
) -> None:
    accounts = await process.open(4, balance=100)
    known = (await process.exact(accounts[0]))[accounts[0]]
    cache = AccountCache(process.database, process.journal, limit=3)
    await cache.warm_up()
    assert len(cache) == 3
    cache = AccountCache(process.database, process.journal, limit=3)
    assert cache.keep([known]) == []
    await cache.warm_up()
    assert (len(cache), cache._kept[known.id]) == (3, known)
    cache = AccountCache(process.database, process.journal, limit=9)
    await cache.warm_up()
    # As written down they hold nothing.
    read = {(one.balance_minor, one.is_exact, one.terms.owner) for one in cache._kept.values()}
    assert (set(cache._kept), read) == (set(accounts), {(0, False, OWNER)})


async def test_a_database_that_hangs_is_not_waited_for_when_balances_are_written_down(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: list[float | None] = []

    async def hanging(*_arguments: object, **_named: object) -> None:
        allowed.append(_csot.get_timeout())
        raise NetworkTimeout("by the test")

    await process.open(2, balance=100)
    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(AsyncDatabase, "command", hanging)
        await process.cache.write_down()
    assert allowed == [account_cache._WRITE_TIMEOUT_SECONDS]
    assert [(line["reason"], line["accounts"]) for line in logs] == [("NetworkTimeout", 4)]


async def test_what_there_is_no_room_for_is_what_was_used_least_lately(process: LedgerProcess) -> None:
    a, b, c = (await process.exact(*await process.open(3, balance=100))).values()
    cache = AccountCache(process.database, process.journal, limit=2)
    assert cache.keep([a, b, a]) == []
    assert cache.keep([c]) == [b]
    # It is in the hands of whoever has pushed it out, and is not written down twice.
    await cache.write_down()
    assert await process.written(b.id) == (0, 0)
    assert await process.written(a.id) == await process.written(c.id) == (100, 1)
    assert cache.keep([b]) == []
    assert set(cache._kept) == {c.id, b.id}
    cache.forget([c.id, "nowhere"])
    assert set(cache._kept) == {b.id}
    cache.forget_all()
    await cache.write_down()
    assert (len(cache), await process.written(b.id)) == (0, (0, 0))


async def test_long_lists_are_written_down_part_by_part_and_the_banks_own_not_at_all(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_cache, "_WRITTEN_AT_ONCE", 2)
    accounts = await process.open(5, balance=100)
    await process.cache.write_down()
    for account in accounts:
        assert await process.written(account) == (100, 1)
    assert await process.database["accounts"].count_documents({}) == 5
