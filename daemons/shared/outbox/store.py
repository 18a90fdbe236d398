"""The outbox collection: one document per commit, telling which events that commit owes."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from bson import decode_iter

from daemons.shared.ids import new_id
from daemons.shared.mongo import Database, Document, Server, Session, insert_all, serving

_READ_AT_ONCE = 100
"""Commits; each owes up to some hundred events."""


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """What one commit has to publish: `events` of them, which the writer of the body builds from it."""

    id: UUID
    body: Document
    events: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is not published yet, and which relay's turn it is; the lease may have run out."""

    events: int
    commits: int
    oldest: UUID | None
    lease_holder: UUID | None
    lease_until: datetime | None


class OutboxStore:
    """The outbox in the database of the daemon that writes it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._entries = database["outbox"]
        self._leases = database["leases"]

    async def add(self, body: Document, *, events: int, session: Session, id_: UUID | None = None) -> None:
        """Owe so many events, to be made from the body, in the caller's transaction.

        They go out in the order of the entries' ids; an id may be made beforehand to take its place.
        """
        entry = {"_id": id_ or new_id(), "events": events, "body": body}
        await insert_all(self._entries, [entry], session=session)

    async def oldest(self, *, events: int, since: UUID | None) -> list[OutboxEntry]:
        """Return the oldest unpublished entries as of one moment, until they hold so many events.

        Args:
            events: how many are enough.
            since: skip what has a lower id. Removed entries stay in the index for some minutes, and a
                search from the beginning walks over all of them.
        """
        entries: list[OutboxEntry] = []
        held = 0
        query: Document = {} if since is None else {"_id": {"$gte": since}}
        # As of one moment: a cursor that goes on to what came later could miss what came before that.
        async with (
            self._database.client.start_session(snapshot=True) as session,
            aclosing(self._in_order(query, events, session)) as found,
        ):
            async for entry in found:
                entries.append(entry)
                held += entry.events
                if held >= events:
                    break
        return entries

    async def _in_order(
        self, query: Document, limit: int, session: Session
    ) -> AsyncGenerator[OutboxEntry, None]:
        """Yield entries by id. Only what is asked for is decoded: a reply may hold many more events."""
        found = self._entries.find_raw_batches(query, batch_size=_READ_AT_ONCE, session=session)
        raw: Any
        async with found.sort("_id").limit(limit) as replies:
            async for raw in replies:
                for document in decode_iter(raw, self._entries.codec_options):
                    yield OutboxEntry(document["_id"], document["body"], document["events"])

    async def remove(self, entries: Sequence[OutboxEntry]) -> None:
        """Forget entries that have been published."""
        await self._entries.delete_many({"_id": {"$in": [entry.id for entry in entries]}})

    async def pending_events(self, *, session: Session | None = None) -> int:
        """Count the events that wait to be published."""
        pipeline: list[Document] = [{"$group": {"_id": None, "events": {"$sum": "$events"}}}]
        cursor = await self._entries.aggregate(pipeline, session=session)
        counted = await cursor.to_list()
        return int(counted[0]["events"]) if counted else 0

    async def waiting(self) -> Waiting:
        """Return what waits to be published, and who holds the lease."""
        pipeline: list[Document] = [
            {"$group": {"_id": None, "events": {"$sum": "$events"}, "commits": {"$sum": 1}}}
        ]
        counted = await (await self._entries.aggregate(pipeline)).to_list()
        oldest = await self._entries.find_one({}, {"_id": 1}, sort=[("_id", 1)])
        lease = await self._leases.find_one({"_id": "relay"}) or {}
        return Waiting(
            events=int(counted[0]["events"]) if counted else 0,
            commits=int(counted[0]["commits"]) if counted else 0,
            oldest=oldest["_id"] if oldest else None,
            lease_holder=lease.get("holder"),
            lease_until=lease.get("until"),
        )

    def server(self) -> Server | None:
        """Return which database server answers; what another one holds may be older."""
        return serving(self._database.client)

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
