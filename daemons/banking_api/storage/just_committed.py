"""The transactions this process has just committed: their events go out without reading the journal again."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from uuid import UUID

from daemons.banking_api.domain.journal import JournalTransaction
from daemons.banking_api.storage.mongo_journal import MongoJournal

AT_HAND = 10_000
"""About 10 MB. The relay takes nearly all of them within milliseconds; where Kafka is away or another process
publishes, the oldest ones go."""


class JustCommitted:
    """Finds transactions by id: those at hand, and all others in the journal."""

    def __init__(self, journal: MongoJournal, *, limit: int = AT_HAND) -> None:
        self._journal = journal
        self._limit = limit
        # A plain dict takes ever longer to find its first item where many were deleted before it.
        self._at_hand: OrderedDict[UUID, JournalTransaction] = OrderedDict()

    def add(self, transactions: Iterable[JournalTransaction]) -> None:
        """Keep transactions whose commit is known, at the cost of the oldest ones."""
        at_hand = self._at_hand
        for transaction in transactions:
            at_hand[transaction.id] = transaction
        while len(at_hand) > self._limit:
            at_hand.popitem(last=False)

    async def take(self, ids: Sequence[UUID]) -> dict[UUID, JournalTransaction]:
        """Return those transactions that exist, by id, and keep them no longer: their events go out now."""
        found = {id_: self._at_hand.pop(id_) for id_ in ids if id_ in self._at_hand}
        elsewhere = [id_ for id_ in ids if id_ not in found]
        if elsewhere:
            found |= await self._journal.by_id(elsewhere)
        return found
