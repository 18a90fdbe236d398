"""The audit trail in MongoDB: one document per record, its number as `_id`, and one that is the head."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import structlog
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import DuplicateKeyError

from daemons.contracts.errors import TransientError
from daemons.shared.audit.guarded import Guarded, changes_in, forget_changes
from daemons.shared.audit.record import AuditEntry, Fields, Head, chained, genesis
from daemons.shared.mongo import TRANSACTION_TIMEOUT_SECONDS, Client, Database, Document, Session

_HEAD = "head"
_INDEXES = [
    IndexModel([("target.id", ASCENDING), ("_id", DESCENDING)], name="by_target"),
    IndexModel([("actor.user_id", ASCENDING), ("_id", DESCENDING)], name="by_actor"),
    IndexModel([("action", ASCENDING), ("_id", DESCENDING)], name="by_action"),
    IndexModel([("at", ASCENDING)], name="by_time"),
]
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which records are wanted; None leaves a field open. Times are as records keep them."""

    action: str | None = None
    actor: str | None = None
    target: str | None = None
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class GuardedDocument:
    """A stored document that changes with a record only, and its digest now."""

    name: str
    digest: str


class MongoAuditTrail:
    """Appends to the trail within the caller's transaction, and reads it.

    Each record holds the digests of the `guarded` documents that were changed with it.
    """

    def __init__(self, database: Database, *, chain: str, guarded: Sequence[Guarded] = ()) -> None:
        self.chain = chain
        self.guarded = guarded
        self._database = database
        self._records = database["audit"]
        self._heads = database["audit_head"]
        self._turn = asyncio.Lock()
        self._prepared = False

    @property
    def client(self) -> Client:
        """The client of the trail's database, for a transaction that does nothing but append."""
        return self._database.client

    async def prepare(self) -> None:
        """Create collections, indexes and the head of an empty trail.

        A head that is missing although there are records is not recreated: `verify` must see that it is gone.
        """
        await self._records.create_indexes(_INDEXES)
        if await self._records.find_one({}, {"_id": 1}) is None:
            first = genesis(self.chain)
            # Another process may be quicker.
            with suppress(DuplicateKeyError):
                await self._heads.update_one(
                    {"_id": _HEAD}, {"$setOnInsert": {"count": first.count, "hash": first.hash}}, upsert=True
                )
        self._prepared = True

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for this process's turn, outside a transaction that is going to append.

        Transactions that append at once conflict at the head, and all but one of them are run again: fifty
        at a time would spend most of their work on that. One process's take turns, so that only processes
        meet. A turn within a turn never comes.

        Raises:
            TransientError: `overloaded`; those before took too long.
        """
        try:
            async with asyncio.timeout(TRANSACTION_TIMEOUT_SECONDS):
                await self._turn.acquire()
        except TimeoutError:
            raise TransientError(
                "overloaded", "Too much is being recorded at the moment; try again.", retry_after_seconds=1
            ) from None
        try:
            yield
        finally:
            self._turn.release()

    async def append(self, entries: Sequence[AuditEntry], *, session: Session) -> None:
        """Write the entries in the caller's transaction.

        The head is written first: a transaction that appends at the same time conflicts there and is run
        again, so that the chain never forks.

        Raises:
            RuntimeError: the head is gone, or a guarded document was changed without an entry; nothing is
                done that is not recorded.
            TransientError: there is no head yet, because this process is still starting.
        """
        changes = {name: list(change) for name, change in changes_in(session).items()}
        forget_changes(session)
        if not entries:
            if changes:
                raise RuntimeError(f"changed without a record: {', '.join(sorted(changes))}")
            return
        found = await self._heads.find_one_and_update(
            {"_id": _HEAD}, {"$inc": {"count": len(entries)}}, session=session
        )
        if found is None and not self._prepared:
            raise TransientError(
                "unavailable", "The daemon is still starting; try again.", retry_after_seconds=1
            )
        if found is None:
            raise RuntimeError("the audit trail has lost its head")
        head = Head(found["count"], found["hash"])
        documents: list[Document] = []
        for number, entry in enumerate(entries, 1):
            record, head = chained(entry, head, (changes or None) if number == len(entries) else None)
            documents.append(_to_document(record))
        await self._records.insert_many(documents, session=session)
        await self._heads.update_one({"_id": _HEAD}, {"$set": {"hash": head.hash}}, session=session)

    async def page(self, wanted: AuditFilter, *, before: int | None, limit: int) -> list[Fields]:
        """Return up to `limit` records, newest first, older than the record `before`."""
        query: Document = {
            path: value
            for path, value in (
                ("action", wanted.action),
                ("actor.user_id", wanted.actor),
                ("target.id", wanted.target),
            )
            if value is not None
        }
        bounds = {"$gte": wanted.since, "$lt": wanted.until}
        if period := {name: bound for name, bound in bounds.items() if bound is not None}:
            query["at"] = period
        if before is not None:
            query["_id"] = {"$lt": before}
        cursor = self._records.find(query).sort("_id", DESCENDING).limit(limit)
        return [_to_record(document) async for document in cursor]

    async def find(self, seq: int) -> Fields | None:
        """Return the record of this number."""
        document = await self._records.find_one({"_id": seq})
        return None if document is None else _to_record(document)

    async def head(self, *, session: Session | None = None) -> Head | None:
        """Return the head, None if somebody has removed it."""
        found = await self._heads.find_one({"_id": _HEAD}, session=session)
        return None if found is None else Head(found["count"], found["hash"])

    async def snapshot(self) -> AsyncIterator[Head | Fields | GuardedDocument | None]:
        """Yield the head, every record from the first to the last, and every guarded document.

        All are as of one moment.
        """
        async with self._database.client.start_session(snapshot=True) as session:
            yield await self.head(session=session)
            async for document in self._records.find({}, session=session).sort("_id", ASCENDING):
                yield _to_record(document)
            for kind in self.guarded:
                collection = self._database[kind.collection]
                async for document in collection.find(dict(kind.counted), session=session):
                    yield GuardedDocument(kind.name(document), kind.digest(document))


def log_act(entry: AuditEntry) -> None:
    """Log an act once it is committed; the log is shipped elsewhere, so it is a second record."""
    _log.info(
        "administrative act",
        action=entry.action,
        actor=entry.actor.person()["user_id"] or entry.actor.display_name,
        target=f"{entry.target_kind} {entry.target_id}",
        reason=entry.reason,
        request_id=entry.actor.request_id,
        address=entry.actor.address,
    )


def _to_document(record: Fields) -> Document:
    document = dict(record)
    document["_id"] = document.pop("seq")
    return document


def _to_record(document: Document) -> Fields:
    # A field `seq` that somebody has added wins, so that verifying sees it.
    return {"seq": document["_id"], **{name: value for name, value in document.items() if name != "_id"}}
