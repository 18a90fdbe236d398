"""What is committed and waits to be published, as any process sees it."""

from dataclasses import dataclass
from datetime import datetime

from daemons.banking_api.ledger.journal import Journal
from daemons.banking_api.ledger.relay import read_positions
from daemons.shared.mongo import Database


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many events wait, in how many commits, and since when."""

    events: int
    commits: int
    oldest_at: datetime | None


class Unpublished:
    """Compares the journal's end with the positions that the relay has written down."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._journal = Journal(database)

    async def waiting(self) -> Waiting:
        """Return what waits now."""
        published = min((await read_positions(self._database)).values(), default=0)
        head = await self._journal.head()
        if head.number <= published:
            return Waiting(0, 0, None)
        events = head.records - await self._journal.records_up_to(published)
        return Waiting(events, head.number - published, await self._journal.sealed_at(published + 1))
