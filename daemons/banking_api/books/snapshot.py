"""The whole ledger as of one moment, streamed: for proofs, whatever goes on meanwhile."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from bson import Binary, decode_all
from pymongo.errors import OperationFailure

from daemons.banking_api.books.events import content_of
from daemons.banking_api.kinds.table import TRANSACTION_KINDS
from daemons.banking_api.ledger.account import Entry
from daemons.banking_api.ledger.documents import record_from, seal_from, state_after
from daemons.banking_api.ledger.journal import FIRST_SEAL, Journal
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.ledger.relay import read_positions
from daemons.banking_api.ledger.seal import Head, Seal, hash_of, leaf_of
from daemons.contracts.errors import TransientError
from daemons.contracts.merkle import nodes_over
from daemons.contracts.names import RecordStatus
from daemons.shared.mongo import Client, Database, Document, Session

_BATCH = 100
"""Decoding as many takes one or two milliseconds, in which the event loop stands still."""

_SNAPSHOT_TOO_OLD = 239
_COMPLETED = RecordStatus.COMPLETED.value
_RECORDS: Document = {"_id": {"$gte": UUID(int=0)}}
_SEALS: Document = {"_id": {"$gte": FIRST_SEAL}}
_STRANGERS: Document = {
    # Each is a range of the index over ids, so that the journal itself is not read.
    "$or": [
        {"_id": {"$lt": FIRST_SEAL}},
        {"_id": float("nan")},
        {"_id": {"$type": ["minKey", "null", "string", "object", "objectId", "bool", "date", "maxKey"]}},
        {"_id": {"$type": ["timestamp", "javascript", "symbol", "dbPointer", "javascriptWithScope"]}},
        {"_id": {"$gte": Binary(b""), "$lt": UUID(int=0)}},
    ]
}
_STRANGERS_NAMED = 20
_KINDS = frozenset(TRANSACTION_KINDS)


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """What is written down of an account: its state under that number, perhaps not its newest."""

    id: str
    currency: str
    balance_minor: int
    sequence: int
    terms: Mapping[str, Any] | None = None
    """Owner, type, status and the rest, as plain values; None for the bank's own."""


class StoredRecord(NamedTuple):
    """What can be proved of a record; one that is no transaction moves nothing."""

    id: UUID
    is_transaction: bool
    completed: bool
    has_failure: bool
    entries: list[Entry]
    attempt: Entry | None
    leaf: bytes
    """The hash of the whole record as it is stored."""
    overdraws: bool = False
    """Whether it may take a customer's account below zero."""
    at_most: int | None = None
    """What no tally that it counts on may exceed, in minor units."""
    fault: str | None = None
    """Why it cannot be read as a record."""
    at: datetime = datetime.fromtimestamp(0, UTC)
    content: bytes = b""
    """What its event tells, to be compared with what the notifier has."""


class LedgerSnapshot:
    """Reads with one snapshot; made by `SnapshotOpener`."""

    def __init__(self, database: Database, session: Session) -> None:
        self._database = database
        self._session = session

    async def journal_size(self) -> int:
        """Estimate how many records there are."""
        return await self._database["journal"].estimated_document_count()

    async def journal(self) -> AsyncIterator[list[StoredRecord]]:
        """Stream every record in the order of its id, some hundred at a time.

        Raw batches cost a fraction of what documents cost one by one, and what is sealed are their bytes.
        """
        journal = self._database["journal"]
        cursor = journal.find_raw_batches(_RECORDS, batch_size=_BATCH, session=self._session).sort("_id")
        raw: Any
        async for raw in cursor:
            documents = decode_all(raw, journal.codec_options)
            yield [_stored(document, data) for document, data in zip(documents, split(raw), strict=True)]

    async def journal_after(self, seal: int, last_id: UUID) -> AsyncIterator[list[StoredRecord]]:
        """Stream the records that no seal up to this one covers, in the order of their ids.

        Args:
            seal: up to which the records are left out.
            last_id: the largest id of those.
        """
        journal, first = self._database["journal"], last_id
        # Commands that waited when the last of the others was sealed may have smaller ids than it.
        overtaken: set[UUID] = set()
        seals = journal.find({"_id": {"$gt": seal}}, {"ids": 1}, session=self._session)
        async for document in seals.batch_size(_BATCH):
            for id_ in _ids_of(document):
                first = min(first, id_)
                if id_ <= last_id:
                    overtaken.add(id_)
        cursor = journal.find_raw_batches({"_id": {"$gte": first}}, batch_size=_BATCH, session=self._session)
        raw: Any
        async for raw in cursor.sort("_id"):
            documents = decode_all(raw, journal.codec_options)
            yield [
                _stored(document, data)
                for document, data in zip(documents, split(raw), strict=True)
                if not isinstance(id_ := document["_id"], UUID) or id_ > last_id or id_ in overtaken
            ]

    async def head_at(self, seal: int, records: int) -> Head:
        """Return where the chain ended with a seal.

        Raises:
            ConflictError: a seal that this rests on was removed.
        """
        journal, nodes = Journal(self._database), nodes_over((0, seal))
        node_at = await journal.nodes([*nodes, (0, seal - 1)], session=self._session)
        return Head(seal, node_at((0, seal - 1)), records, tuple(node_at(node) for node in nodes))

    async def newest(self, accounts: Collection[str]) -> dict[str, tuple[int, int]]:
        """Return balance and number of those accounts that have entries, as the ledger would read them."""
        return await Journal(self._database).newest(accounts, session=self._session)

    async def balance_at(self, account: str, sequence: int) -> int | None:
        """Return the balance after an entry of an account; None if there is no such entry."""
        query = {"entries": {"$elemMatch": {"account": account, "sequence": sequence}}}
        found = await self._database["journal"].find_one(query, {"entries": 1}, session=self._session)
        return None if found is None else state_after(found, account)[0]

    async def seals(self, after: int = 0) -> AsyncIterator[tuple[Seal, list[UUID]]]:
        """Stream every later seal in the order of its number, each with the ids of its records."""
        later = {"_id": {"$gt": after}} if after else _SEALS
        cursor = self._database["journal"].find(later, session=self._session)
        async for document in cursor.sort("_id").batch_size(_BATCH):
            yield _stored_seal(document)

    async def strangers(self) -> list[str]:
        """Return the ids of what is in the journal and can be neither a record nor a seal; the first ones."""
        cursor = self._database["journal"].find(_STRANGERS, {"_id": 1}, session=self._session)
        return [str(document["_id"]) async for document in cursor.limit(_STRANGERS_NAMED)]

    async def accounts_size(self) -> int:
        """Estimate how many accounts there are."""
        return await self._database["accounts"].estimated_document_count()

    async def accounts(self) -> AsyncIterator[StoredAccount]:
        """Stream every customer's account."""
        cursor = self._database["accounts"].find({}, session=self._session).batch_size(_BATCH)
        async for document in cursor:
            id_, balance, sequence = (document.pop(name) for name in ("_id", "balance", "sequence"))
            yield StoredAccount(id_, document["currency"], balance, sequence, document)

    async def positions(self) -> dict[str, int]:
        """Return up to which seal each topic's events are published."""
        return await read_positions(self._database, session=self._session)

    async def outbox_pending(self) -> int:
        """Count the events that wait to be published, as far as the relay has written down."""
        journal = Journal(self._database)
        head = await journal.head(session=self._session)
        positions = await read_positions(self._database)
        published = await journal.records_up_to(min(positions.values(), default=0))
        return max(0, head.records - published)


def split(raw: bytes) -> Iterator[bytes]:
    """Return the documents of a raw batch, each of which begins with its length."""
    start = 0
    while start < len(raw):
        end = start + int.from_bytes(raw[start : start + 4], "little")
        yield raw[start:end]
        start = end


def _stored(document: Document, data: bytes) -> StoredRecord:
    leaf = leaf_of(data)
    try:
        record = record_from(document)
        _check_types(record)
        content = content_of(record)
    except (AssertionError, AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        # What somebody has changed by hand must be named, and must not end the proof.
        fault = f"cannot be read: {type(error).__name__} {error}"
        return StoredRecord(document["_id"], False, False, False, [], None, leaf, fault=fault)
    return StoredRecord(
        record.id,
        record.kind in _KINDS,
        document.get("status") == _COMPLETED,
        record.failure is not None,
        list(record.entries),
        record.attempt,
        leaf,
        record.data.get("overdraws", False),
        record.data.get("at_most"),
        at=record.at,
        content=content,
    )


def _check_types(record: Record) -> None:
    if not isinstance(record.id, UUID):
        raise TypeError(f"{record.id!r} is no record's id")
    for entry in (*record.entries, *((record.attempt,) if record.attempt else ())):
        for value in (entry.amount_minor, entry.balance_after_minor, entry.sequence):
            if not isinstance(value, int):
                raise TypeError(f"{value!r} is no whole number")


def _ids_of(document: Document) -> list[UUID]:
    ids = document.get("ids")
    if not isinstance(ids, bytes):
        return []
    return [UUID(bytes=ids[start : start + 16]) for start in range(0, len(ids) - 15, 16)]


def _stored_seal(document: Document) -> tuple[Seal, list[UUID]]:
    try:
        seal, ids = seal_from(document)
        # What cannot be hashed was not sealed so either.
        hash_of(*seal[:-2])
        hash_of(seal.number, seal.hash, seal.nodes, seal.records, seal.at)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        number = int(document["_id"])
        return Seal(number, b"", b"", 0, datetime.fromtimestamp(0, UTC), b"", b""), []
    return seal, ids


class SnapshotOpener:
    """Opens snapshots of one ledger."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._database = database

    @asynccontextmanager
    async def open(self) -> AsyncIterator[LedgerSnapshot]:
        """Open a snapshot of now; it lasts as long as the database keeps history (5 minutes by default).

        Raises:
            TransientError: `snapshot_too_old`; reading took longer than that.
        """
        try:
            async with self._client.start_session(snapshot=True) as session:
                yield LedgerSnapshot(self._database, session)
        except OperationFailure as error:
            if error.code != _SNAPSHOT_TOO_OLD:
                raise
            raise TransientError(
                "snapshot_too_old",
                "Reading the ledger took longer than the database keeps its history; set mongod's "
                "minSnapshotHistoryWindowInSeconds to more than a proof takes.",
            ) from error
