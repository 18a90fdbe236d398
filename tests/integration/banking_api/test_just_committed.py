"""An event is the same whether its transaction is at hand or read from the journal."""

from collections.abc import Iterable
from uuid import UUID

from daemons.banking_api.services.events import EventEncoder
from daemons.banking_api.storage.just_committed import JustCommitted
from daemons.banking_api.storage.mongo_journal import MongoJournal
from daemons.shared.outbox.store import OutboxStore
from tests.support.ledgers import OWNER, funding, ledger_process, told, transfer


class Directory:
    """Knows every user by one name."""

    async def names(self, user_ids: Iterable[UUID]) -> dict[UUID, str | None]:
        return dict.fromkeys(user_ids, "Zoë")


async def test_what_is_at_hand_is_told_as_what_is_read(mongo_uri: str, database_name: str) -> None:
    async with ledger_process(mongo_uri, database_name) as process:
        first, second = await process.open(2, balance=100)
        outcomes = await process.post(
            [transfer(first, second, 30), transfer(second, first, 999), funding(first, 5)]
        )
        assert [told(outcome) for outcome in outcomes] == ["completed", "insufficient_funds", "completed"]
        journal = MongoJournal(process.database)
        at_hand = JustCommitted(journal)
        at_hand.add(outcome.transaction for outcome in outcomes)
        entries = await OutboxStore(process.database).oldest(events=100, since=None)
        directory = Directory()
        read = await EventEncoder(JustCommitted(journal), directory).encode(entries)  # type: ignore[arg-type]
        kept = await EventEncoder(at_hand, directory).encode(entries)  # type: ignore[arg-type]
        assert kept == read
        assert len(read) == 2 + 3
        assert all("Zoë".encode() in record.value for record in read)


async def test_what_is_not_at_hand_is_read_and_the_oldest_go_first(
    mongo_uri: str, database_name: str
) -> None:
    async with ledger_process(mongo_uri, database_name) as process:
        [account] = await process.open(1)
        posted = [outcome.transaction for outcome in await process.post([funding(account, 1)])]
        posted += [
            outcome.transaction for outcome in await process.post([funding(account, 2), funding(account, 3)])
        ]
        journal = MongoJournal(process.database)
        reads: list[int] = []

        async def by_id(ids: list[UUID]) -> dict[UUID, object]:
            reads.append(len(ids))
            return dict(await MongoJournal.by_id(journal, ids))

        journal.by_id = by_id  # type: ignore[method-assign, assignment]
        at_hand = JustCommitted(journal, limit=2)
        at_hand.add(posted)
        ids = [transaction.id for transaction in posted]
        wanted = {transaction.id: transaction for transaction in posted}
        assert await at_hand.by_id(ids[1:]) == {id_: wanted[id_] for id_ in ids[1:]}
        assert reads == []
        # None is left, and the first had to go before.
        assert await at_hand.by_id(ids) == wanted
        assert reads == [3]
        assert posted[0].initiator == OWNER
