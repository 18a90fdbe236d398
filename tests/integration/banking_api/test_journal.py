"""The chain as it is stored: where it ends, and what its seals say of their groups."""

from datetime import UTC, datetime

import pytest
from bson.raw_bson import RawBSONDocument
from pymongo.errors import DuplicateKeyError

from daemons.banking_api.ledger.documents import BSON_OPTIONS
from daemons.banking_api.ledger.journal import SealedGroup
from daemons.banking_api.ledger.seal import GENESIS, leaf_of
from daemons.contracts.merkle import root_of
from daemons.shared.mongo import run_transaction, transaction_options
from tests.support.ledgers import OWNER, LedgerProcess, transfer


async def test_an_empty_journal_ends_at_the_beginning(process: LedgerProcess) -> None:
    journal = process.journal
    assert await journal.head() == GENESIS
    assert (await journal.has_seal(1), await journal.records_up_to(0), await journal.sealed_at(1)) == (
        False,
        0,
        None,
    )
    assert await journal.seals_after(0, limit=10) == []


async def test_each_seal_is_over_its_records_as_stored_and_over_the_seal_before(
    process: LedgerProcess,
) -> None:
    a, b = await process.open(2, balance=100)
    await process.post([transfer(a, b, amount) for amount in (1, 2, 3)])
    # A refused one is sealed, too; one that was done before is not.
    await process.post([transfer(a, b, 1000), transfer(a, b, 4, key="k")])
    await process.post([transfer(a, b, 4, key="k")])
    journal = process.journal
    sealed = await journal.seals_after(0, limit=100)
    assert [len(ids) for _, ids in sealed] == [2, 2, 3, 2]
    raw = process.database["journal"].with_options(
        BSON_OPTIONS.with_options(document_class=RawBSONDocument)  # type: ignore[arg-type]
    )
    before, up_to = GENESIS, 0
    for seal, ids in sealed:
        stored = {document["_id"]: document.raw async for document in raw.find({"_id": {"$in": ids}})}
        up_to += len(ids)
        assert (seal.number, seal.previous, seal.records) == (before.number + 1, before.hash, up_to)
        assert seal.root == root_of([leaf_of(stored[id_]) for id_ in ids])
        assert await journal.has_seal(seal.number)
        assert await journal.records_up_to(seal.number) == up_to
        assert await journal.sealed_at(seal.number) == seal.at
        before = before.sealed(seal)
    assert await journal.head() == before
    assert [seal.number for seal, _ in await journal.seals_after(1, limit=2)] == [2, 3]
    records = await journal.by_id([id_ for _, ids in sealed for id_ in ids])
    assert len(records) == up_to


async def test_a_seals_number_is_taken_once_also_where_nothing_else_is_in_the_way(
    process: LedgerProcess,
) -> None:
    a, b, c, d = await process.open(4, balance=100)
    journal = process.journal
    before = await journal.head()
    [paid] = await process.post([transfer(a, b, 1)])
    records = [paid.record._replace(id=transfer(c, d, 1).id, idempotency_id=b"another", entries=())]
    group = SealedGroup(records, before, at=datetime(2026, 11, 23, tzinfo=UTC))
    with pytest.raises(DuplicateKeyError) as taken:
        await run_transaction(process.database.client, lambda session: journal.append(group, session=session))
    assert (taken.value.details or {})["keyValue"] == {"_id": before.number + 1}
    assert await journal.by_id([records[0].id]) == {}


async def test_the_newest_of_each_history_is_found_also_if_it_is_a_failed_attempt(
    process: LedgerProcess,
) -> None:
    a, b, untouched = await process.open(3, balance=100)
    await process.post([transfer(a, b, 1), transfer(a, b, 1000)])
    found = await process.journal.newest([a, b, untouched, "nowhere"], session=None)
    assert found == {a: (99, 2), b: (101, 2), untouched: (100, 1)}


async def test_what_a_transaction_reads_of_the_chain_is_of_one_moment(process: LedgerProcess) -> None:
    a, b = await process.open(2, balance=100)
    [first] = await process.post([transfer(a, b, 1, key="first")])
    journal, client = process.journal, process.database.client
    before = await journal.head()
    async with (
        client.start_session() as session,
        await session.start_transaction(**transaction_options()),
    ):
        assert await journal.head(session=session) == before
        [later] = await process.post([transfer(a, b, 2, key="later")])
        ids = [first.record.id, later.record.id]
        keys = [first.record.idempotency_id, later.record.idempotency_id]
        assert await journal.head(session=session) == before
        assert not await journal.has_seal(before.number + 1, session=session)
        assert await journal.seals_after(before.number, limit=9, session=session) == []
        assert set(await journal.by_id(ids, session=session)) == {first.record.id}
        assert set(await journal.by_key(keys, session=session)) == {first.record.idempotency_id}
        assert await journal.newest([b], session=session) == {b: (101, 2)}
        process.cache.forget_all()
        read = await process.cache.read({a, b}, {}, {b}, session)
        assert (read[a].terms.owner, read[b].balance_minor, read[b].sequence) == (OWNER, 101, 2)
    assert set(await journal.by_id(ids)) == set(ids)
    assert await journal.newest([b], session=None) == {b: (103, 3)}


async def test_an_account_that_was_opened_after_the_moment_is_not_read(process: LedgerProcess) -> None:
    await process.open(1)
    async with (
        process.database.client.start_session() as session,
        await session.start_transaction(**transaction_options()),
    ):
        await process.journal.head(session=session)
        one, other = await process.open(2)
        process.cache.forget_all()
        assert await process.cache.read({one, other}, {}, {other}, session) == {}
