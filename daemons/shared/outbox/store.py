"""The outbox collection: one document per commit, holding that commit's events in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from daemons.shared.ids import new_id
from daemons.shared.mongo import Database, Document, Session


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """An event as it is committed; names of users are filled in when it is published."""

    id: UUID
    type: str
    key: str
    occurred_at: datetime
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """The events of one commit."""

    id: UUID
    events: tuple[OutboxEvent, ...]


class OutboxStore:
    """The outbox in the database of the daemon that writes it."""

    def __init__(self, database: Database) -> None:
        self._entries = database["outbox"]
        self._leases = database["leases"]

    async def add(self, events: Sequence[OutboxEvent], *, session: Session) -> None:
        """Write the events in the caller's transaction."""
        if events:
            await self._entries.insert_one(
                {"_id": new_id(), "events": [_to_document(event) for event in events]}, session=session
            )

    async def oldest(self, limit: int) -> list[OutboxEntry]:
        """Return the oldest unpublished entries."""
        cursor = self._entries.find().sort("_id").limit(limit)
        return [
            OutboxEntry(document["_id"], tuple(_from_document(event) for event in document["events"]))
            async for document in cursor
        ]

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        """Forget entries that have been published."""
        await self._entries.delete_many({"_id": {"$in": [entry.id for entry in entries]}})

    async def pending_events(self, *, session: Session | None = None) -> int:
        """Count the events that wait to be published."""
        pipeline: list[Document] = [{"$group": {"_id": None, "events": {"$sum": {"$size": "$events"}}}}]
        cursor = await self._entries.aggregate(pipeline, session=session)
        counted = await cursor.to_list()
        return int(counted[0]["events"]) if counted else 0

    async def hold_lease(self, holder: UUID, *, seconds: float) -> bool:
        """Take or renew the relay's lease by the database's clock; False while another holds it.

        The lease keeps one relay publishing, so that an account's events keep their order; if it fails to
        (a paused process), events are published twice, not lost.
        """
        until = {"$add": ["$$NOW", int(seconds * 1000)]}
        free = {"$or": [{"$eq": ["$holder", holder]}, {"$lt": [{"$ifNull": ["$until", 0]}, "$$NOW"]}]}
        lease = await self._leases.find_one_and_update(
            {"_id": "relay"},
            [
                {
                    "$set": {
                        "holder": {"$cond": [free, holder, "$holder"]},
                        "until": {"$cond": [free, until, "$until"]},
                    }
                }
            ],
            upsert=True,
            return_document=True,
        )
        return lease is not None and bool(lease["holder"] == holder)

    async def release_lease(self, holder: UUID) -> None:
        """Give the lease back at shutdown, so that another relay need not wait for it to run out."""
        await self._leases.delete_one({"_id": "relay", "holder": holder})


def _to_document(event: OutboxEvent) -> Document:
    return {
        "id": event.id,
        "type": event.type,
        "key": event.key,
        "at": event.occurred_at,
        "data": event.data,
    }


def _from_document(document: Document) -> OutboxEvent:
    return OutboxEvent(
        id=document["id"],
        type=document["type"],
        key=document["key"],
        occurred_at=document["at"],
        data=document["data"],
    )
