"""Count and digest of what the notifier holds, to compare with the ledger's."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from daemons.contracts.digest import EventSetDigest
from daemons.contracts.events.table import JOURNAL_EVENT_TYPES
from daemons.notifier.event_log.reader import MongoEventReader
from daemons.notifier.notifications.storage import MongoNotifications
from daemons.shared.progress import Progress

_IDS_BETWEEN_PAUSES = 250


class EventProver:
    """Reads all ids of journal events in one pass; one proof at a time, for it reads the whole log."""

    def __init__(self, reader: MongoEventReader, notifications: MongoNotifications) -> None:
        self._reader = reader
        self._notifications = notifications
        self._one_at_a_time = asyncio.Lock()

    async def prove_events(self, progress: Progress) -> tuple[EventSetDigest, EventSetDigest]:
        """Return the digests of the recorded events and of the notifications.

        Raises:
            TransientError: the database does not answer.
        """
        async with self._one_at_a_time:
            # Each event has one record and one notification.
            total = await self._reader.last_position()
            progress.enter("events", total=total)
            recorded = await _digest(self._reader.event_ids(JOURNAL_EVENT_TYPES), progress)
            progress.enter("notifications", total=total)
            notified = await _digest(self._notifications.event_ids(JOURNAL_EVENT_TYPES), progress)
        return recorded, notified


async def _digest(ids: AsyncIterator[UUID], progress: Progress) -> EventSetDigest:
    digest = EventSetDigest()
    async for event_id in ids:
        digest.add(event_id)
        if digest.count % _IDS_BETWEEN_PAUSES == 0:
            progress.done = digest.count
            # Ids that have arrived are read without waiting; streams and the consumer want their turn.
            await asyncio.sleep(0)
    return digest
