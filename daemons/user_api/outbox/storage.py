"""Owed events in MongoDB: they are written with the change that they tell, and removed once Kafka has them.

Their numbers are taken from one document within the transaction, so they are in the order of the commits, and
a reader of one can read all before it.
"""

from collections.abc import Sequence

from pymongo import ASCENDING, ReturnDocument

from daemons.contracts.names import EventType
from daemons.shared.mongo import Database, Document, Session, insert_all
from daemons.user_api.outbox.event import OwedEvent
from daemons.user_api.schema import NUMBERS_ID, OWED_EVENT_NUMBERS, OWED_EVENTS


class MongoOutbox:
    """Adds what a transaction owes."""

    def __init__(self, database: Database, session: Session) -> None:
        self._outbox = database[OWED_EVENTS]
        self._numbers = database[OWED_EVENT_NUMBERS]
        self._session = session

    async def add(self, events: Sequence[OwedEvent | None]) -> None:
        """Owe these events, in this order; None takes a number, and nothing is told of it."""
        counted: Document | None = await self._numbers.find_one_and_update(
            {"_id": NUMBERS_ID},
            {"$inc": {"last": len(events)}},
            return_document=ReturnDocument.AFTER,
            session=self._session,
        )
        assert counted is not None  # noqa: S101 - it was made with the indexes
        first = counted["last"] - len(events) + 1
        documents = [
            {"_id": number, "event": None if event is None else _to_document(event)}
            for number, event in enumerate(events, first)
        ]
        await insert_all(self._outbox, documents, session=self._session)


class MongoOwedEvents:
    """What is committed and still owed."""

    def __init__(self, database: Database) -> None:
        self._outbox = database[OWED_EVENTS]

    async def first(self, limit: int) -> tuple[int, list[OwedEvent]]:
        """Return the first events that are owed, and the number up to which they go; 0 if none is.

        Raises:
            PyMongoError: the database does not answer.
        """
        documents = await self._outbox.find().sort("_id", ASCENDING).limit(limit).to_list()
        events = [_event_of(document["event"]) for document in documents if document["event"] is not None]
        return (documents[-1]["_id"] if documents else 0), events

    async def settle(self, number: int) -> None:
        """Owe what goes up to this number no longer: Kafka has confirmed it.

        Raises:
            PyMongoError: the database does not answer; then it is told once more, under the same ids.
        """
        await self._outbox.delete_many({"_id": {"$lte": number}})


def _to_document(event: OwedEvent) -> Document:
    return {
        "id": event.id,
        "type": event.type.value,
        "key": event.key,
        "time": event.time,
        "data": event.data,
    }


def _event_of(document: Document) -> OwedEvent:
    return OwedEvent(
        id=document["id"],
        type=EventType(document["type"]),
        key=document["key"],
        time=document["time"],
        data=document["data"],
    )
