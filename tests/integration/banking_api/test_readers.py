"""Reading accounts and what is stored under keys: as the journal says, and as of one moment."""

import asyncio

import pytest
from pymongo.asynchronous.collection import AsyncCollection

from tests.support.ledgers import LedgerProcess, ledger_process, transfer


async def test_accounts_are_read_as_the_journal_says_and_so_is_what_is_stored_under_keys(
    process: LedgerProcess,
) -> None:
    a, b, c = await process.open(3, balance=100)
    [paid] = await process.post([transfer(a, b, 30, key="one")])
    # As written down none of them holds anything.
    assert await process.written(a) == (0, 0)
    commands = [transfer(a, b, 1, key="one"), transfer(a, "1234567897", 1, key="two")]
    accounts, stored = await process.records.states_for(commands)
    assert {id_: (found.balance_minor, found.sequence) for id_, found in accounts.items()} == {
        a: (70, 2),
        b: (130, 2),
    }
    assert stored == {paid.record.idempotency_id: paid.record}
    accounts, _ = await process.records.states_for(commands, also=[c, "nowhere"])
    assert {id_: found.balance_minor for id_, found in accounts.items()} == {a: 70, b: 130, c: 100}


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
        accounts, stored = await process.records.states_for([command])
        assert (accounts[a].balance_minor, stored) == (100, {})
        accounts, stored = await process.records.states_for([command])
        assert (accounts[a].balance_minor, len(stored)) == (70, 1)
