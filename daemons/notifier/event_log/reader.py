"""Reading the log of events: pages in either direction, the last position, and all ids for a proof."""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pymongo
from pymongo import ASCENDING, DESCENDING
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import PyMongoError

from daemons.contracts.events import EventType
from daemons.notifier.documents import event_from, notification_from
from daemons.notifier.event import RecordedEvent
from daemons.notifier.event_log.selection import Selection
from daemons.notifier.notifications.notification import Notification
from daemons.notifier.severity import Severity
from daemons.shared.mongo import Database, Document, Session, unavailable

_READ_TIMEOUT_SECONDS = 5
_IDS_AT_ONCE = 1_000

NotificationPlace = tuple[int, UUID]
"""Where a notification stands in their list: its event's position, then its own id."""


class MongoEventReader:
    """Reads what MongoEventLog wrote, as the majority has it: what was read once is never taken back."""

    def __init__(self, database: Database) -> None:
        self._events = database["events"]
        self._notifications = database["notifications"]

    async def last_position(self) -> int:
        """Return the position of the newest event; 0 when there is none.

        Raises:
            TransientError: the database does not answer; so do all methods here.
        """
        with _reading():
            return await newest_position(self._events)

    async def events_after(
        self, position: int, *, selection: Selection, limit: int, up_to: int | None = None
    ) -> list[RecordedEvent]:
        """Return the next selected events in order, none beyond `up_to`."""
        bounds = {"$gt": position} if up_to is None else {"$gt": position, "$lte": up_to}
        return await self._read_events(bounds, selection, limit, ASCENDING)

    async def events_before(
        self, position: int | None, *, selection: Selection, limit: int
    ) -> list[RecordedEvent]:
        """Return the selected events before a position, or the newest of all, newest first."""
        bounds = {"$lt": position} if position is not None else None
        return await self._read_events(bounds, selection, limit, DESCENDING)

    async def _read_events(
        self, bounds: Document | None, selection: Selection, limit: int, direction: int
    ) -> list[RecordedEvent]:
        query: Document = {} if bounds is None else {"_id": bounds}
        if selection.types:
            query["type"] = {"$in": sorted(event_type.value for event_type in selection.types)}
        if selection.account_id is not None:
            query["account_ids"] = selection.account_id
        with _reading():
            found = self._events.find(query).sort("_id", direction).limit(limit)
            return [event_from(document) async for document in found]

    async def notifications_before(
        self, place: NotificationPlace | None, *, severity: Severity | None, limit: int
    ) -> list[tuple[NotificationPlace, Notification]]:
        """Return the notifications before a place, or the newest of all, newest first."""
        query: Document = {} if severity is None else {"severity": severity.value}
        if place is not None:
            position, notification_id = place
            query["$or"] = [
                {"position": {"$lt": position}},
                {"position": position, "_id": {"$lt": notification_id}},
            ]
        order = [("position", DESCENDING), ("_id", DESCENDING)]
        with _reading():
            found = self._notifications.find(query).sort(order).limit(limit)
            return [((row["position"], row["_id"]), notification_from(row)) async for row in found]

    async def recorded(self, ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the ids under which an event is recorded."""
        with _reading():
            found = self._events.find({"id": {"$in": list(ids)}}, {"_id": 0, "id": 1})
            return {document["id"] async for document in found}

    def event_ids(self, types: Collection[EventType]) -> AsyncIterator[UUID]:
        """Stream the ids of all events of these types, in bounded memory."""
        return _stream_ids(self._events, "type", types, "id")

    def notified_event_ids(self, types: Collection[EventType]) -> AsyncIterator[UUID]:
        """Stream the event id of every notification of events of these types, in bounded memory."""
        return _stream_ids(self._notifications, "event_type", types, "event_id")


async def newest_position(events: AsyncCollection[Document], session: Session | None = None) -> int:
    """Return the position of the newest event, as the session sees it; 0 when there is none."""
    newest = await events.find_one({}, {"_id": 1}, sort=[("_id", DESCENDING)], session=session)
    return int(newest["_id"]) if newest else 0


async def _stream_ids(
    collection: AsyncCollection[dict[str, Any]], type_field: str, types: Collection[EventType], id_field: str
) -> AsyncIterator[UUID]:
    query = {type_field: {"$in": [event_type.value for event_type in types]}}
    try:
        found = collection.find(query, {"_id": 0, id_field: 1}).batch_size(_IDS_AT_ONCE)
        async for document in found:
            yield document[id_field]
    except PyMongoError as error:
        raise unavailable(error) from error


@contextmanager
def _reading() -> Iterator[None]:
    """Bound a read in time, and say of a database that does not answer that it may be tried again."""
    try:
        with pymongo.timeout(_READ_TIMEOUT_SECONDS):
            yield
    except PyMongoError as error:
        raise unavailable(error) from error
