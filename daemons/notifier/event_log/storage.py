"""The log of events: appended to in one order (docs/adr/0006), together with each event's notification."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from bson import Decimal128
from pymongo import DESCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from daemons.contracts.names import EventType, Severity
from daemons.notifier.event import Event, RecordedEvent, magnitude
from daemons.notifier.notifications.notification import Notification
from daemons.shared.mongo import Database, Document, Session, insert_all

Entry = tuple[Event, Notification]


@dataclass(frozen=True, slots=True)
class Appended:
    """The entries that are new to the log, the first of them at position `begin`."""

    begin: int
    entries: Sequence[Entry]

    @property
    def notifications(self) -> list[tuple[int, Notification]]:
        """The new entries' notifications with their positions."""
        return [(self.begin + index, notification) for index, (_, notification) in enumerate(self.entries)]


class LogEnd:
    """Where this process takes the log to end. A wrong guess is refused: positions are unique."""

    def __init__(self) -> None:
        self.position: int | None = None
        """The position behind the last event that this process wrote."""
        self.is_alone = False
        """Nobody else had written in between, so the end need not be looked for."""
        self.is_doubted = False
        """Events or positions were refused as taken: both are looked for at the next attempt."""

    def refused(self) -> None:
        """Another process has written, or some of the events have come before, which is rare."""
        self.is_alone, self.is_doubted = False, True

    def committed(self, appended: Appended) -> None:
        """Know the end that was just written."""
        self.is_doubted = False
        if appended.entries:
            self.is_alone = self.position in (None, appended.begin)
            self.position = appended.begin + len(appended.entries)


class MongoEventLog:
    """Writes events, each once, however often and by whatever process."""

    def __init__(self, database: Database, session: Session, end: LogEnd) -> None:
        self._events = database["events"]
        self._session = session
        self._end = end

    async def append(self, entries: Sequence[Entry]) -> Appended:
        """Write the events that are not recorded yet at the end of the log, and return those.

        Raises:
            DuplicateKeyError: some are recorded already, or the log ends elsewhere; the next attempt looks.
        """
        fresh = await self._fresh(entries)
        if not fresh:
            return Appended(0, [])
        known_end = self._end.position if self._end.is_alone else None
        begin = known_end or await newest_position(self._events, self._session) + 1
        documents = [
            event_document(event, notification, position=begin + index)
            for index, (event, notification) in enumerate(fresh)
        ]
        try:
            await insert_all(self._events, documents, session=self._session)
        except DuplicateKeyError:
            self._end.refused()
            raise
        return Appended(begin, fresh)

    async def _fresh(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries, each event once; in doubt without those whose events are recorded."""
        fresh: dict[UUID, Entry] = {}
        for entry in entries:
            fresh.setdefault(entry[0].id, entry)
        known = await self._known([*fresh], self._session) if self._end.is_doubted and fresh else set()
        return [entry for event_id, entry in fresh.items() if event_id not in known]

    async def _known(self, ids: list[UUID], session: Session) -> set[UUID]:
        found = self._events.find({"id": {"$in": ids}}, {"_id": 0, "id": 1}, session=session)
        return {document["id"] async for document in found}


async def newest_position(events: AsyncCollection[Document], session: Session | None = None) -> int:
    """Return the position of the newest event, as the session sees it; 0 when there is none."""
    newest = await events.find_one({}, {"_id": 1}, sort=[("_id", DESCENDING)], session=session)
    return int(newest["_id"]) if newest else 0


def event_document(event: Event, notification: Notification, *, position: int) -> Document:
    """Return what is stored of an event, with what its notification says of it."""
    amount = event.amount
    return {
        "_id": position,
        "id": event.id,
        "type": event.type.value,
        "source": event.source,
        "key": event.key,
        "time": event.time,
        "data": event.document,
        "severity": notification.severity.value,
        "account_ids": list(event.account_ids),
        "user_ids": list(event.user_ids),
        "amount": None if amount is None else Decimal128(amount),
        "magnitude": None if amount is None else magnitude(amount),
        "partition": event.partition,
        "offset": event.offset,
        "received_at": notification.created_at,
    }


def event_of(document: Document) -> RecordedEvent:
    """Return the event that a document keeps."""
    return RecordedEvent(
        position=document["_id"],
        id=document["id"],
        type=EventType(document["type"]),
        source=document["source"],
        key=document["key"],
        time=document["time"],
        data=document["data"],
        severity=Severity(document["severity"]),
        account_ids=document["account_ids"],
        user_ids=document["user_ids"],
        amount=None if document["amount"] is None else document["amount"].to_decimal(),
        partition=document["partition"],
        offset=document["offset"],
        received_at=document["received_at"],
    )
