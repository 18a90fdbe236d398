"""Reading the journal's transactions: one, many by id, what a user has initiated."""

from collections.abc import Sequence
from uuid import UUID

from daemons.banking_api.domain.journal import JournalTransaction, TransactionStatus
from daemons.banking_api.storage.journal_documents import CHANGE, from_document
from daemons.shared.http.pages import decode_id_cursor, encode_cursor
from daemons.shared.mongo import Database, Document

_TRANSACTIONS: Document = {"kind": {"$ne": CHANGE}}
_READ_AT_ONCE = 250
"""Decoding as many takes some ten milliseconds, in which the event loop stands still."""
Page = tuple[list[JournalTransaction], str | None]


class MongoJournal:
    """The journal, newest first. It is never written here: that is `MongoLedger`'s."""

    def __init__(self, database: Database) -> None:
        self._journal = database["journal"]

    async def find(self, transaction_id: UUID, *, visible_to: UUID | None) -> JournalTransaction | None:
        """Return the transaction; with a user given, only if it concerns them.

        A failed one concerns its initiator only, a completed one also both owners.
        """
        query: Document = {"_id": transaction_id, **_TRANSACTIONS}
        if visible_to is not None:
            completed = {"status": TransactionStatus.COMPLETED.value}
            query["$or"] = [
                {"initiator": visible_to},
                {**completed, "from_owner": visible_to},
                {**completed, "to_owner": visible_to},
            ]
        document = await self._journal.find_one(query)
        return from_document(document) if document else None

    async def by_id(self, transaction_ids: Sequence[UUID]) -> dict[UUID, JournalTransaction]:
        """Return the transactions that exist, by id."""
        found = self._journal.find({"_id": {"$in": list(transaction_ids)}}).batch_size(_READ_AT_ONCE)
        return {document["_id"]: from_document(document) async for document in found}

    async def known(self, ids: Sequence[UUID]) -> list[UUID]:
        """Return those of the ids that are transactions', oldest first."""
        query = {"_id": {"$in": list(ids)}, **_TRANSACTIONS}
        found = self._journal.find(query, {"_id": 1}).sort("_id")
        return [document["_id"] async for document in found]

    async def initiated(
        self, *, initiator: UUID | None, status: TransactionStatus | None, limit: int, cursor: str | None
    ) -> Page:
        """Return the transactions a user asked for, or anyone did, and the cursor of the next page."""
        query: Document = dict(_TRANSACTIONS) if initiator is None else {"initiator": initiator}
        if status is not None:
            query["status"] = status.value
        return await self._page(query, limit, cursor)

    async def _page(self, query: Document, limit: int, cursor: str | None) -> Page:
        before = decode_id_cursor(cursor)
        if before is not None:
            query = {**query, "_id": {"$lt": before}}
        found = self._journal.find(query).sort("_id", -1).limit(limit + 1)
        transactions = [from_document(document) async for document in found]
        more = len(transactions) > limit
        transactions = transactions[:limit]
        return transactions, encode_cursor(transactions[-1].id.bytes) if more else None
