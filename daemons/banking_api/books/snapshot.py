"""The whole ledger as of one moment, streamed: for proofs, whatever goes on meanwhile."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from bson import decode_all
from pymongo.errors import OperationFailure

from daemons.banking_api.kinds.table import TRANSACTION_KINDS
from daemons.banking_api.ledger.account import Entry
from daemons.banking_api.ledger.documents import entry_from
from daemons.banking_api.ledger.journal import Journal
from daemons.banking_api.ledger.record import RecordStatus
from daemons.banking_api.ledger.relay import read_positions
from daemons.contracts.errors import TransientError
from daemons.shared.mongo import Client, Database, Document, Session

_BATCH = 100
"""Decoding as many takes one or two milliseconds, in which the event loop stands still."""

_SNAPSHOT_TOO_OLD = 239
_PROVED = {
    "kind": 1,
    "status": 1,
    "entries": 1,
    "failure.code": 1,
    "data.overdraws": 1,
    "data.at_most": 1,
}
_COMPLETED = RecordStatus.COMPLETED.value
_RECORDS: Document = {"_id": {"$gte": UUID(int=0)}}
"""Seals have numbers as ids, which sort before."""
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
    overdraws: bool = False
    """Whether it may take a customer's account below zero."""
    at_most: int | None = None
    """What no tally that it counts on may exceed, in minor units."""


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

        Raw batches of what is proved cost a quarter of what whole documents cost one by one (measured).
        """
        journal = self._database["journal"]
        cursor = journal.find_raw_batches(_RECORDS, _PROVED, batch_size=_BATCH, session=self._session).sort(
            "_id"
        )
        raw: Any
        async for raw in cursor:
            yield [_stored(document) for document in decode_all(raw, journal.codec_options)]

    async def accounts_size(self) -> int:
        """Estimate how many accounts there are."""
        return await self._database["accounts"].estimated_document_count()

    async def accounts(self) -> AsyncIterator[StoredAccount]:
        """Stream every customer's account."""
        cursor = self._database["accounts"].find({}, session=self._session).batch_size(_BATCH)
        async for document in cursor:
            id_, balance, sequence = (document.pop(name) for name in ("_id", "balance", "sequence"))
            yield StoredAccount(id_, document["currency"], balance, sequence, document)

    async def outbox_pending(self) -> int:
        """Count the events that wait to be published, as far as the relay has written down."""
        journal = Journal(self._database)
        head = await journal.head(session=self._session)
        positions = await read_positions(self._database)
        published = await journal.records_up_to(min(positions.values(), default=0))
        return max(0, head.records - published)


def _stored(document: Document) -> StoredRecord:
    entries, data = document["entries"], document.get("data", {})
    attempted = bool(entries) and "attempt" in entries[0]
    return StoredRecord(
        document["_id"],
        document["kind"] in _KINDS,
        document.get("status") == _COMPLETED,
        "failure" in document,
        [] if attempted else [entry_from(entry) for entry in entries],
        entry_from(entries[0]) if attempted else None,
        data.get("overdraws", False),
        data.get("at_most"),
    )


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
