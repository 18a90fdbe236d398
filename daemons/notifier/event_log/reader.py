"""Reading the log of events: pages in either direction, and the last position."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from bson import Decimal128
from pymongo import ASCENDING, DESCENDING

from daemons.contracts.names import EventType
from daemons.notifier.channels.port import Refused
from daemons.notifier.deliveries.delivery import Delivery
from daemons.notifier.event import LARGEST_MAGNITUDE, RecordedEvent, Selection, magnitude
from daemons.notifier.event_log.storage import event_of, newest_position
from daemons.notifier.reading import reading
from daemons.shared.mongo import Database, Document

_SKEW = timedelta(minutes=1)
"""How far an event's time may be ahead of the clock of the notifier that recorded it."""


class MongoEventReader:
    """Reads what MongoEventLog wrote, as the majority has it: what was read once is never taken back."""

    def __init__(self, database: Database) -> None:
        self._events = database["events"]

    async def last_position(self) -> int:
        """Return the position of the newest event; 0 when there is none.

        Raises:
            TransientError: the database does not answer; so do all methods here.
        """
        with reading():
            return await newest_position(self._events)

    async def events_after(
        self, position: int, *, selection: Selection, limit: int, up_to: int | None = None
    ) -> list[RecordedEvent]:
        """Return the next selected events in order, none beyond `up_to`."""
        bounds = {"$gt": position} if up_to is None else {"$gt": position, "$lte": up_to}
        return await self._read_events(bounds, selection, limit, ASCENDING)

    async def events_before(
        self, position: int | None, *, selection: Selection, limit: int, above: int = 0
    ) -> list[RecordedEvent]:
        """Return the selected events before a position, or the newest of all, newest first."""
        bounds = {"$gt": above} if position is None else {"$gt": above, "$lt": position}
        return await self._read_events(bounds, selection, limit, DESCENDING)

    async def position_before(self, since: datetime) -> int:
        """Return a position behind which all events of this time or later are, and few earlier ones."""
        return await self.position_recorded_before(since - _SKEW)

    async def position_recorded_before(self, since: datetime) -> int:
        """Return a position behind which all events are that were recorded at this time or later.

        Positions follow the time of recording closely, so it is found by halving, without an index of times.
        """
        low, high = 0, await self.last_position()
        while low < high:
            middle = (low + high + 1) // 2
            with reading():
                before = await self._events.find_one(
                    {"_id": {"$lte": middle}}, {"received_at": 1}, sort=[("_id", DESCENDING)]
                )
            if before is None or before["received_at"] >= since:
                high = middle - 1
            else:
                low = middle
        return low

    async def count_by_type(self, position: int, *, limit: int) -> dict[EventType, int]:
        """Count the events of each type behind a position, at most `limit` of each."""
        counts = {}
        with reading():
            for event_type in EventType:
                query = {"type": event_type.value, "_id": {"$gt": position}}
                counts[event_type] = await self._events.count_documents(query, limit=limit, hint="by_type")
        return counts

    async def count_reasons(self, position: int, *, limit: int) -> dict[str, int]:
        """Count why transactions were refused, of the newest `limit` refusals behind a position."""
        refused = {"type": EventType.TRANSACTION_FAILED.value, "_id": {"$gt": position}}
        steps: list[Document] = [
            {"$match": refused},
            {"$sort": {"_id": DESCENDING}},
            {"$limit": limit},
            {"$group": {"_id": "$data.failure.code", "count": {"$sum": 1}}},
            {"$sort": {"count": DESCENDING, "_id": ASCENDING}},
        ]
        with reading():
            found = await self._events.aggregate(steps, hint="by_type")
            return {one["_id"]: one["count"] async for one in found}

    async def _read_events(
        self, bounds: Document, selection: Selection, limit: int, direction: int
    ) -> list[RecordedEvent]:
        query = {"_id": bounds, **conditions(selection)}
        with reading():
            found = self._events.find(query).sort("_id", direction).limit(limit)
            return [event_of(document) async for document in found]

    async def find(self, event_id: UUID) -> RecordedEvent | None:
        """Return an event by its id."""
        with reading():
            found = await self._events.find_one({"id": event_id})
        return None if found is None else event_of(found)

    async def find_all(self, ids: Sequence[UUID]) -> dict[UUID, RecordedEvent]:
        """Return those of the events that are recorded, by their ids."""
        with reading():
            found = self._events.find({"id": {"$in": list(ids)}})
            return {document["id"]: event_of(document) async for document in found}

    async def recorded(self, ids: Sequence[UUID]) -> set[UUID]:
        """Return those of the ids under which an event is recorded."""
        with reading():
            found = self._events.find({"id": {"$in": list(ids)}}, {"_id": 0, "id": 1})
            return {document["id"] async for document in found}


async def cause_of(delivery: Delivery, reader: MongoEventReader) -> RecordedEvent:
    """Return the event that owes a delivery.

    Raises:
        Refused: it is not recorded.
        TransientError: the database does not answer.
    """
    event = await reader.find(UUID(delivery.owed.cause.id))
    if event is None:
        raise Refused("the event is not recorded")
    return event


def conditions(selection: Selection) -> Document:
    """Return what a document of a selected event meets.

    Each condition but the time goes by an index that is in the order of positions. An amount is looked for
    by its power of ten: MongoDB merges a few ranges in order, and would have to sort one range of amounts.
    """
    found: Document = {}
    if selection.types:
        found["type"] = {"$in": sorted(event_type.value for event_type in selection.types)}
    if selection.account_id is not None:
        found["account_ids"] = selection.account_id
    if selection.user_id is not None:
        found["user_ids"] = selection.user_id
    if selection.minimum is not None:
        found["magnitude"] = {"$in": list(range(magnitude(selection.minimum), LARGEST_MAGNITUDE + 1))}
        found["amount"] = {"$gte": Decimal128(selection.minimum)}
    if selection.since is not None:
        found["time"] = {"$gte": selection.since}
    return found
