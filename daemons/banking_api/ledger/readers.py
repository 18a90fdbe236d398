"""Reading what is committed: accounts, their histories, records. Any process may; nothing here decides."""

import struct
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from bson import MaxKey, MinKey

from daemons.banking_api.ledger.account import Account, untouched
from daemons.banking_api.ledger.account_cache import exact_account
from daemons.banking_api.ledger.documents import record_from, seal_from
from daemons.banking_api.ledger.journal import WITH_NEWEST, Journal
from daemons.banking_api.ledger.record import Command, Record
from daemons.banking_api.ledger.schema import HISTORY_FIELDS, HISTORY_INDEX
from daemons.banking_api.ledger.seal import Seal
from daemons.contracts.names import AccountStatus, RecordStatus
from daemons.shared.http.pages import (
    decode_cursor,
    decode_id_cursor,
    encode_cursor,
    invalid_cursor,
)
from daemons.shared.mongo import Client, Database, Document, Session

_EPOCH = datetime.fromtimestamp(0, UTC)
_ACCOUNT_CURSOR = struct.Struct(">q10s")
_HISTORY_CURSOR = struct.Struct(">q16s")
_NO_ATTEMPT = bytes(16)
_CUSTOMERS: Document = {"$ne": None}
Page = tuple[list[Record], str | None]


class AccountReader:
    """Customers' accounts as of one moment each; the bank's own are invisible here."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._accounts = database["accounts"]

    async def find(self, account_id: str, *, owner: UUID | None) -> Account | None:
        """Return the account; with an owner given, only if it is theirs."""
        # Ownership is part of the query, so that no check can be forgotten after it.
        stages: list[Document] = [{"$match": {"_id": account_id, "owner": owner or _CUSTOMERS}}, WITH_NEWEST]
        found = await self._read(stages)
        return found[0] if found else None

    async def page(
        self, *, owner: UUID | None, status: AccountStatus | None, limit: int, cursor: str | None
    ) -> tuple[list[Account], str | None]:
        """Return accounts, newest first, and the cursor of the next page."""
        query: Document = {"owner": owner or _CUSTOMERS}
        if status is not None:
            query["status"] = status.value
        position = decode_cursor(cursor)
        if position is not None:
            opened_at, last_id = _read_account_cursor(position)
            query["$or"] = [
                {"opened_at": {"$lt": opened_at}},
                {"opened_at": opened_at, "_id": {"$lt": last_id}},
            ]
        order = {"opened_at": -1, "_id": -1}
        accounts = await self._read([{"$match": query}, {"$sort": order}, {"$limit": limit + 1}, WITH_NEWEST])
        more = len(accounts) > limit
        accounts = accounts[:limit]
        return accounts, _account_cursor(accounts[-1]) if more else None

    async def owners(self, account_ids: Sequence[str]) -> dict[str, UUID | None]:
        """Return who owns the accounts that exist."""
        found = self._accounts.find({"_id": {"$in": list(account_ids)}}, {"owner": 1})
        return {document["_id"]: document["owner"] async for document in found}

    async def _read(self, stages: list[Document]) -> list[Account]:
        """Read account and journal as of one moment: a frozen account's number must not show it active."""
        async with self._client.start_session(snapshot=True) as session:
            found = await self._accounts.aggregate(stages, session=session)
            return [exact_account(document) async for document in found]


class RecordReader:
    """Records as those who may see them find them; `kinds` are those that are shown."""

    def __init__(self, client: Client, database: Database, *, kinds: Sequence[str]) -> None:
        self._client = client
        self._database = database
        self._journal = database["journal"]
        self._kinds: Document = {"kind": {"$in": list(kinds)}}

    async def find(self, record_id: UUID, *, visible_to: UUID | None) -> Record | None:
        """Return the record; with a user given, only if it concerns them.

        A failed one concerns its initiator only, a completed one also the owners of its accounts.
        """
        query: Document = {"_id": record_id, **self._kinds}
        if visible_to is not None:
            query["$or"] = [
                {"initiator": visible_to},
                {"status": RecordStatus.COMPLETED.value, "entries.owner": visible_to},
            ]
        document = await self._journal.find_one(query)
        return record_from(document) if document else None

    async def initiated(
        self, *, initiator: UUID | None, status: RecordStatus | None, limit: int, cursor: str | None
    ) -> Page:
        """Return the records a user asked for, or anyone did, newest first, and the next page's cursor."""
        query: Document = dict(self._kinds) if initiator is None else {"initiator": initiator, **self._kinds}
        if status is not None:
            query["status"] = status.value
        before = decode_id_cursor(cursor)
        if before is not None:
            query["_id"] = {"$lt": before}
        found = self._journal.find(query).sort("_id", -1).limit(limit + 1)
        records = [record_from(document) async for document in found]
        more = len(records) > limit
        records = records[:limit]
        return records, encode_cursor(records[-1].id.bytes) if more else None

    async def history(self, account_id: str, *, limit: int, cursor: str | None) -> Page:
        """Return the records of one account, newest first, and the cursor of the next page.

        It walks the unique index over account and sequence, which holds a history in its order. MongoDB
        cannot sort by a field inside an array that it also filters by, so the order is that of the index.

        Raises:
            InvalidRequestError: the cursor is none of this list.
        """
        first = (MaxKey(), MaxKey()) if cursor is None else _read_history_cursor(cursor)
        found = (
            self._journal.find(self._kinds)
            .hint(HISTORY_INDEX)
            .min(_bound(account_id, *first))
            .max(_bound(account_id, MinKey(), MinKey()))
            .limit(limit + 1)
        )
        documents = [document async for document in found]
        following = _history_cursor(documents[limit], account_id) if len(documents) > limit else None
        return [record_from(document) for document in documents[:limit]], following

    async def known(self, ids: Sequence[UUID]) -> list[UUID]:
        """Return those of the ids that are records', oldest first."""
        found = self._journal.find({"_id": {"$in": list(ids)}, "idem": {"$exists": True}}, {"_id": 1})
        return [document["_id"] async for document in found.sort("_id")]

    async def has_key(self, idempotency_id: bytes) -> bool:
        """Tell whether something is stored under the key."""
        return await self._journal.find_one({"idem": idempotency_id}, {"_id": 1}) is not None

    async def states_for(
        self, commands: Sequence[Command], *, also: Collection[str] = ()
    ) -> tuple[dict[str, Account], dict[bytes, Record]]:
        """Return the accounts that commands and others name, and what is stored under the commands' keys.

        All of it is as of one moment.
        """
        named = {id_ for command in commands for id_ in command.accounts()} | set(also)
        journal = Journal(self._database)
        async with self._client.start_session(snapshot=True) as session:
            accounts = await self._exact(named, journal, session)
            keys = [command.idempotency_id for command in commands]
            return accounts, await journal.by_key(keys, session=session)

    async def _exact(self, ids: set[str], journal: Journal, session: Session) -> dict[str, Account]:
        stages: list[Document] = [{"$match": {"_id": {"$in": list(ids)}}}, WITH_NEWEST]
        found = await self._database["accounts"].aggregate(stages, session=session)
        accounts = {account.id: account async for document in found for account in [exact_account(document)]}
        own = {id_: account for id_ in ids if (account := untouched(id_)) is not None}
        for id_, (balance, sequence) in (await journal.newest(own, session=session)).items():
            own[id_].balance_minor, own[id_].sequence = balance, sequence
        return accounts | own

    async def seal_with(self, record_id: UUID) -> Seal | None:
        """Return the seal of a record."""
        record = await self._journal.find_one({"_id": record_id}, {"seal": 1})
        found = None if record is None else await self.seal_of(record["seal"])
        return None if found is None else found[0]

    async def seal_of(self, number: int) -> tuple[Seal, list[UUID]] | None:
        """Return a seal and the ids of its records."""
        document = await self._journal.find_one({"_id": number})
        return None if document is None else seal_from(document)


def _account_cursor(account: Account) -> str:
    assert account.terms.opened_at is not None  # noqa: S101 - customers' accounts were opened
    milliseconds = (account.terms.opened_at - _EPOCH) // timedelta(milliseconds=1)
    return encode_cursor(_ACCOUNT_CURSOR.pack(milliseconds, account.id.encode()))


def _read_account_cursor(position: bytes) -> tuple[datetime, str]:
    try:
        milliseconds, last_id = _ACCOUNT_CURSOR.unpack(position)
        return _EPOCH + timedelta(milliseconds=milliseconds), last_id.decode("ascii")
    except (struct.error, OverflowError, UnicodeDecodeError):
        raise invalid_cursor() from None


def _bound(account_id: str, sequence: Any, attempt: Any) -> list[tuple[str, Any]]:
    return list(zip(HISTORY_FIELDS, (account_id, sequence, attempt), strict=True))


def _history_cursor(document: Document, account_id: str) -> str:
    """Stand for the first row of the next page: what is posted meanwhile comes before it."""
    entry = next(entry for entry in document["entries"] if entry["account"] == account_id)
    attempt = entry.get("attempt")
    return encode_cursor(_HISTORY_CURSOR.pack(entry["sequence"], attempt.bytes if attempt else _NO_ATTEMPT))


def _read_history_cursor(cursor: str) -> tuple[int, UUID | None]:
    try:
        sequence, attempt = _HISTORY_CURSOR.unpack(decode_cursor(cursor) or b"")
    except struct.error:
        raise invalid_cursor() from None
    return sequence, None if attempt == _NO_ATTEMPT else UUID(bytes=attempt)
