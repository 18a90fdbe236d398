"""What this process has committed is at hand for its events, and told as the journal has it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from daemons.banking_api.domain.account import AccountStatus
from daemons.banking_api.domain.journal import JournalTransaction, PostingCommand, TransactionKind
from daemons.banking_api.services.events import EventEncoder, tell_of_account
from daemons.banking_api.storage.just_committed import JustCommitted
from daemons.banking_api.storage.mongo_journal import MongoJournal

from daemons.banking_api.app import running_ledger
from daemons.contracts.errors import BankError
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.mongo import Session, run_transaction
from daemons.shared.outbox.store import OutboxEntry, OutboxStore
from tests.support.ledgers import (
    CURRENCY,
    OWNER,
    LedgerProcess,
    funding,
    ledger_process,
    opened,
    told,
    transfer,
)


class Directory:
    """Knows every user by one name."""

    async def names(self, user_ids: Iterable[UUID]) -> dict[UUID, str | None]:
        return dict.fromkeys(user_ids, "Zoë")


class CountedReads(MongoJournal):
    """Counts the transactions that are read from the journal."""

    reads = 0

    async def by_id(self, transaction_ids: Sequence[UUID]) -> dict[UUID, JournalTransaction]:
        self.reads += len(transaction_ids)
        return await super().by_id(transaction_ids)


BANK = new_id()


async def all_kinds(process: LedgerProcess) -> list[JournalTransaction]:
    """Post one transaction of each kind, and one that fails."""
    await process.accounts.ensure_adjustment_account(CURRENCY)
    first, second = await process.open(2, balance=100)
    funded = funding(first, 5)
    correction = PostingCommand(
        kind=TransactionKind.ADJUSTMENT,
        initiator=OWNER,
        sender_owner=None,
        idempotency_key=str(uuid4()),
        from_account=second,
        to_account=f"adjustment:{CURRENCY}",
        amount_minor=3,
        currency=CURRENCY,
        reference="booked twice",
        corrects=new_id(),
    )
    outcomes = await process.post(
        [transfer(first, second, 30), transfer(second, first, 999), funded, correction]
    )
    assert [told(found) for found in outcomes] == [
        "completed",
        "insufficient_funds",
        "completed",
        "completed",
    ]
    return [found.transaction for found in outcomes]


async def entries_of(process: LedgerProcess) -> list[OutboxEntry]:
    """What the outbox owes of transactions; accounts are opened silently here."""
    entries = await OutboxStore(process.database).oldest(events=1000, since=None)
    return [entry for entry in entries if "transactions" in entry.body]


async def test_what_is_at_hand_is_told_as_what_is_read(mongo_uri: str, database_name: str) -> None:
    async with ledger_process(mongo_uri, database_name) as process:
        posted = await all_kinds(process)
        entries = (await entries_of(process))[-1:]
        directory: Any = Directory()
        journal = CountedReads(process.database)
        read = await EventEncoder(JustCommitted(journal), directory, bank_id=BANK).encode(entries)
        assert journal.reads == len(posted)
        at_hand = JustCommitted(journal)
        at_hand.add(posted)
        kept = await EventEncoder(at_hand, directory, bank_id=BANK).encode(entries)
        assert journal.reads == len(posted)
        assert kept == read
        assert [record.topic for record in kept] == [
            "TransactionCompleted",
            "TransactionFailed",
            "AccountFundedPayload",
            "AccountAdjusted",
        ]
        assert all("Zoë".encode() in record.value for record in kept)
        # What could not be published is not at hand the next time.
        assert await EventEncoder(at_hand, directory, bank_id=BANK).encode(entries) == read
        assert journal.reads == 2 * len(posted)
        assert await journal.by_id([found.id for found in posted]) == {found.id: found for found in posted}


async def test_the_oldest_have_to_go(mongo_uri: str, database_name: str) -> None:
    async with ledger_process(mongo_uri, database_name) as process:
        [account] = await process.open(1)
        outcomes = await process.post([funding(account, minor) for minor in (1, 2, 3)])
        posted = {outcome.transaction.id: outcome.transaction for outcome in outcomes}
        journal = CountedReads(process.database)
        at_hand = JustCommitted(journal, limit=2)
        at_hand.add(posted.values())
        oldest, *newest = posted
        assert await at_hand.take(newest) == {id_: posted[id_] for id_ in newest}
        assert journal.reads == 0
        at_hand.add(posted[id_] for id_ in newest)
        assert await at_hand.take([oldest, *newest]) == posted
        assert journal.reads == 1


async def test_a_change_of_an_account_is_told_with_names(mongo_uri: str, database_name: str) -> None:
    account = replace(opened("1000000009"), status=AccountStatus.FROZEN, sequence=1)
    body = tell_of_account(
        account, change="frozen", reason="a test", by=UUID(int=2), event_id=new_id(), at=utc_now()
    )
    async with ledger_process(mongo_uri, database_name) as process:
        unused = JustCommitted(MongoJournal(process.database))
        directory: Any = Directory()
        [record] = await EventEncoder(unused, directory, bank_id=BANK).encode(
            [OutboxEntry(new_id(), body, 1)]
        )
    assert (record.topic, record.key) == ("AccountChanged", "1000000009")
    assert record.value.count('"display_name":"Zoë"'.encode()) == 2


async def test_only_what_was_committed_now_is_handed_on(
    mongo_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not what an earlier request has done, nor what is undone."""
    handed_on: list[UUID] = []
    async with ledger_process(mongo_uri, database_name) as process:
        [account] = await process.open(1)
        outbox = OutboxStore(process.database)
        running = running_ledger(
            process.database.client,
            process.database,
            outbox,
            lambda posted: handed_on.extend(found.id for found in posted),
        )
        async with running as (_, engine):
            first = await engine.post(funding(account, 1, key="a"))
            assert handed_on == [first.transaction.id]
            assert (await engine.post(funding(account, 1, key="a"))).replayed
            assert (await engine.post(funding(account, 2, key="a"))).key_reused
            assert handed_on == [first.transaction.id]

            async def fail(*_arguments: object, **_named: object) -> None:
                raise RuntimeError("by the test")

            with monkeypatch.context() as patch:
                patch.setattr(outbox, "add", fail)
                with pytest.raises(BankError):
                    await engine.post(funding(account, 3))
            assert handed_on == [first.transaction.id]


async def test_the_oldest_entries_are_found_up_to_what_is_wanted(mongo_uri: str, database_name: str) -> None:
    async with ledger_process(mongo_uri, database_name) as process:
        outbox = OutboxStore(process.database)
        ids = [new_id() for _ in range(250)]

        async def owe(session: Session) -> None:
            # Written in another order than that of the ids.
            for id_ in reversed(ids):
                await outbox.add({"ids": []}, events=2, session=session, id_=id_)

        await run_transaction(process.database.client, owe)
        assert [entry.id for entry in await outbox.oldest(events=10_000, since=None)] == ids
        assert [entry.id for entry in await outbox.oldest(events=301, since=ids[20])] == ids[20:171]
