"""Reading the log of events: pages in either direction, and the last position."""

from collections.abc import Sequence
from uuid import UUID

from pymongo import ASCENDING, DESCENDING

from daemons.notifier.channels.port import Refused
from daemons.notifier.deliveries.delivery import Delivery
from daemons.notifier.event import RecordedEvent, Selection
from daemons.notifier.event_log.storage import event_of, newest_position
from daemons.notifier.reading import reading
from daemons.shared.mongo import Database, Document


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
