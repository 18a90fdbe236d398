"""What events tell of: whether this database has it, and which events an operator has given up as lost."""

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from pymongo import UpdateOne

from daemons.shared.mongo import Database, Session


class EventOrigins:
    """Asks the journal, the accounts and the list of lost events, all as the majority has them."""

    def __init__(self, database: Database) -> None:
        self._journal = database["journal"]
        self._accounts = database["accounts"]
        self._lost = database["lost_events"]

    async def without(self, events: Mapping[UUID, str | None]) -> set[UUID]:
        """Return those of the events that this database does not know.

        Args:
            events: their ids; for the opening of an account its number, for the journal has none.
        """
        unknown = set(events)
        for collection in (self._journal, self._lost):
            if unknown:
                found = collection.find({"_id": {"$in": list(unknown)}}, {"_id": 1})
                unknown -= {document["_id"] async for document in found}
        opened = {events[id_] for id_ in unknown} - {None}
        if opened:
            found = self._accounts.find({"_id": {"$in": list(opened)}}, {"_id": 1})
            there = {document["_id"] async for document in found}
            unknown = {id_ for id_ in unknown if events[id_] not in there}
        return unknown

    async def give_up(self, ids: Collection[UUID], *, at: datetime, session: Session) -> None:
        """Keep in the caller's transaction that these events are lost for good."""
        written = [UpdateOne({"_id": id_}, {"$setOnInsert": {"at": at}}, upsert=True) for id_ in ids]
        await self._lost.bulk_write(written, session=session)
