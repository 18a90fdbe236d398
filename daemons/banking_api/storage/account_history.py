"""An account's history in the journal: its newest state, and its pages, newest first.

Both walk the unique index over account and sequence, which holds a history in its order. MongoDB cannot sort
by a field inside an array that it also filters by, so the order is that of the index, walked forwards.
"""

import struct
from typing import Any
from uuid import UUID

from bson import MaxKey, MinKey

from daemons.banking_api.domain.journal import JournalTransaction
from daemons.banking_api.storage.journal_documents import CHANGE, from_document, state_after
from daemons.banking_api.storage.schema import HISTORY_FIELDS, HISTORY_INDEX
from daemons.shared.http.pages import decode_cursor, encode_cursor, invalid_cursor
from daemons.shared.mongo import Database, Document

_CURSOR = struct.Struct(">q16s")
_NO_ATTEMPT = bytes(16)

WITH_NEWEST: Document = {
    "$lookup": {
        "from": "journal",
        "localField": "_id",
        "foreignField": "entries.account",
        "pipeline": [{"$limit": 1}, {"$project": {"entries": 1}}],
        "as": "newest",
    }
}
"""The stage that joins the newest of its history to an account's document; read by `newest_state`."""


def newest_state(document: Document) -> tuple[int, int]:
    """Return the balance in minor units and the sequence of an account read through `WITH_NEWEST`."""
    newest = document["newest"]
    return state_after(newest[0], document["_id"]) if newest else (0, 0)


class AccountHistory:
    """Statements: what has happened on an account, in the order of its numbers."""

    def __init__(self, database: Database) -> None:
        self._journal = database["journal"]

    async def page(
        self, account_id: str, *, limit: int, cursor: str | None
    ) -> tuple[list[JournalTransaction], str | None]:
        """Return the transactions of one account, newest first, and the cursor of the next page.

        Raises:
            InvalidRequestError: the cursor is none of this list.
        """
        first = (MaxKey(), MaxKey()) if cursor is None else _read_cursor(cursor)
        found = (
            self._journal.find({"kind": {"$ne": CHANGE}})
            .hint(HISTORY_INDEX)
            .min(_bound(account_id, *first))
            .max(_bound(account_id, MinKey(), MinKey()))
            .limit(limit + 1)
        )
        documents = [document async for document in found]
        following = _cursor_of(documents[limit], account_id) if len(documents) > limit else None
        return [from_document(document) for document in documents[:limit]], following


def _bound(account_id: str, sequence: Any, attempt: Any) -> list[tuple[str, Any]]:
    return list(zip(HISTORY_FIELDS, (account_id, sequence, attempt), strict=True))


def _cursor_of(document: Document, account_id: str) -> str:
    """Stand for the first row of the next page: what is posted meanwhile comes before it."""
    entry = next(entry for entry in document["entries"] if entry["account"] == account_id)
    attempt = entry.get("attempt")
    return encode_cursor(_CURSOR.pack(entry["sequence"], attempt.bytes if attempt else _NO_ATTEMPT))


def _read_cursor(cursor: str) -> tuple[int, UUID | None]:
    try:
        sequence, attempt = _CURSOR.unpack(decode_cursor(cursor) or b"")
    except struct.error:
        raise invalid_cursor() from None
    return sequence, None if attempt == _NO_ATTEMPT else UUID(bytes=attempt)
