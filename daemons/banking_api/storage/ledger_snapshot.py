"""The whole ledger as of one moment, streamed: for proofs, whatever goes on meanwhile."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from daemons.banking_api.domain.journal import JournalTransaction
from daemons.banking_api.storage.journal_documents import CHANGE, AccountChange, change_from, from_document
from daemons.shared.mongo import Client, Database, Session
from daemons.shared.outbox.store import OutboxStore

_BATCH = 2000


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """What is written down of an account: its state under that number, perhaps not its newest."""

    id: str
    currency: str
    balance_minor: int
    sequence: int


class LedgerSnapshot:
    """Reads with one snapshot; made by `SnapshotOpener`."""

    def __init__(self, database: Database, outbox: OutboxStore, session: Session) -> None:
        self._database = database
        self._outbox = outbox
        self._session = session

    async def journal(self) -> AsyncIterator[JournalTransaction | AccountChange]:
        """Stream every transaction, and every change of an account, in the order of their ids."""
        cursor = self._database["journal"].find(session=self._session).sort("_id").batch_size(_BATCH)
        async for document in cursor:
            yield change_from(document) if document["kind"] == CHANGE else from_document(document)

    async def accounts(self) -> AsyncIterator[StoredAccount]:
        """Stream every account, the bank's own included."""
        fields = {"currency": 1, "balance": 1, "sequence": 1}
        cursor = self._database["accounts"].find({}, fields, session=self._session).batch_size(_BATCH)
        async for document in cursor:
            yield StoredAccount(
                document["_id"], document["currency"], document["balance"], document["sequence"]
            )

    async def outbox_pending(self) -> int:
        """Count the events that waited to be published."""
        return await self._outbox.pending_events(session=self._session)


class SnapshotOpener:
    """Opens snapshots of one ledger."""

    def __init__(self, client: Client, database: Database, outbox: OutboxStore) -> None:
        self._client = client
        self._database = database
        self._outbox = outbox

    @asynccontextmanager
    async def open(self) -> AsyncIterator[LedgerSnapshot]:
        """Open a snapshot of now; it lasts as long as the database keeps history (5 minutes by default)."""
        async with self._client.start_session(snapshot=True) as session:
            yield LedgerSnapshot(self._database, self._outbox, session)
