"""The log of events: appended to in one order (docs/adr/0006), together with what each event has effected."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from uuid import UUID

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from daemons.contracts.errors import OutcomeUnknownError, TransientError
from daemons.notifier.domain.event import Event
from daemons.notifier.domain.notification import Notification
from daemons.notifier.storage.documents import event_document, notification_document
from daemons.notifier.storage.schema import POSITION_COUNTER
from daemons.shared.mongo import Database, Session, run_transaction

Entry = tuple[Event, Notification]
Alongside = Callable[[Sequence[Entry], Session], Awaitable[None]]
"""Is told which entries are new, and writes what must be written with them or not at all; may run again."""


class MongoEventLog:
    """Writes events and notifications; each once, however often and by whomever."""

    def __init__(self, database: Database) -> None:
        self._client = database.client
        self._events = database["events"]
        self._notifications = database["notifications"]
        self._counters = database["counters"]

    async def append(self, entries: Sequence[Entry], *, alongside: Alongside | None = None) -> list[Entry]:
        """Write the entries whose events are not recorded yet, in one transaction, and return those.

        Raises:
            TransientError: it may not have been done; doing it again is safe.
        """
        if not entries and alongside is None:
            return []

        async def body(look: bool, session: Session) -> list[Entry]:
            written = await self._append(entries, look, session) if entries else []
            if alongside is not None:
                await alongside(written, session)
            return written

        try:
            try:
                return await run_transaction(self._client, partial(body, False))
            except DuplicateKeyError:
                # Some have come before, which is rare: only now are they looked for.
                return await run_transaction(self._client, partial(body, True))
        except (OutcomeUnknownError, DuplicateKeyError) as error:
            raise TransientError(
                "unavailable", "The events may not have been recorded; try again."
            ) from error

    async def _append(self, entries: Sequence[Entry], look: bool, session: Session) -> list[Entry]:
        known = await self._known([event.id for event, _ in entries], session) if look else set()
        fresh: dict[UUID, Entry] = {}
        for entry in entries:
            if entry[0].id not in known:
                fresh.setdefault(entry[0].id, entry)
        if not fresh:
            return []
        first = await self._take_positions(len(fresh), session)
        written = list(fresh.values())
        await self._events.insert_many(
            [event_document(*entry, position=first + index) for index, entry in enumerate(written)],
            session=session,
        )
        await self._notifications.insert_many(
            [notification_document(told, position=first + index) for index, (_, told) in enumerate(written)],
            session=session,
        )
        return written

    async def _known(self, ids: list[UUID], session: Session) -> set[UUID]:
        found = self._events.find({"id": {"$in": ids}}, {"_id": 0, "id": 1}, session=session)
        return {document["id"] async for document in found}

    async def _take_positions(self, count: int, session: Session) -> int:
        """Take the next positions; of two processes that do so at once, the second starts over (ADR 0006)."""
        counter = await self._counters.find_one_and_update(
            {"_id": POSITION_COUNTER},
            {"$inc": {"position": count}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        assert counter is not None  # noqa: S101 - an upsert that returns what it wrote
        return int(counter["position"]) - count + 1
