"""Accounts in MongoDB."""

import asyncio
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID
from weakref import WeakValueDictionary

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, PyMongoError

from daemons.banking_api.domain.account import Account, AccountStatus, AccountType, account_not_found
from daemons.banking_api.domain.journal import Entry, adjustment_account, settlement_account
from daemons.banking_api.storage.account_history import WITH_NEWEST, newest_state
from daemons.banking_api.storage.journal_documents import AccountChange, change_document
from daemons.banking_api.storage.ledger_turns import LedgerTurns
from daemons.contracts.errors import RejectedError, TransientError
from daemons.shared.http.pages import decode_cursor, encode_cursor, invalid_cursor
from daemons.shared.mongo import (
    TRANSACTION_TIMEOUT_SECONDS,
    Client,
    Database,
    Document,
    Session,
    run_transaction,
    unavailable,
)
from daemons.shared.outbox.store import OutboxStore

Change = Callable[[Account], Account]
Tell = Callable[[Account], Document]
Numbered = Callable[[Entry], AccountChange]
"""Makes the change's place in the account's history of the entry that numbers it."""
Alongside = Callable[[Account, Account, Session], Awaitable[None]]
_EPOCH = datetime.fromtimestamp(0, UTC)
_CURSOR = struct.Struct(">q10s")


class Opened(NamedTuple):
    """An account that was opened, or had been under the same key, and what was asked for then."""

    account: Account
    fingerprint: bytes
    replayed: bool


class MongoAccounts:
    """Customers' accounts; the bank's own are invisible here."""

    def __init__(
        self, client: Client, database: Database, outbox: OutboxStore, *, most_per_user: int | None = None
    ) -> None:
        self._client = client
        self._most_per_user = most_per_user
        self._owners = database["owners"]
        # Two openings of one owner meet on the owner's count. Those of this process wait for one another, so
        # that none is undone and tried again.
        self._opening: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()
        self._accounts = database["accounts"]
        self._journal = database["journal"]
        self._outbox = outbox
        self._turns = LedgerTurns(database)

    async def insert(
        self, account: Account, *, idempotency_key: str | None, fingerprint: bytes, tell: Tell
    ) -> Opened | None:
        """Add an account and its event in one transaction; `fingerprint` is kept with the key.

        Returns:
            The account; the one opened before under the same key; or None when the number is taken.

        Raises:
            RejectedError: the owner has as many as one user may have.
        """
        document = _to_document(account)
        if idempotency_key is not None:
            document |= {"idempotency_key": idempotency_key, "fingerprint": fingerprint}

        async def body(session: Session) -> None:
            await self._accounts.insert_one(document, session=session)
            await self._count(account.owner, session)
            await self._outbox.add(tell(account), events=1, session=session)

        try:
            async with self._opening.setdefault(account.owner, asyncio.Lock()):
                await run_transaction(self._client, body)
        except DuplicateKeyError:
            if idempotency_key is None:
                return None
            return await self._opened_before(account.owner, idempotency_key)
        return Opened(account, fingerprint, replayed=False)

    async def _count(self, owner: UUID, session: Session) -> None:
        """Count one more account; two at once meet on the owner's document, so none is opened uncounted."""
        if self._most_per_user is None:
            return
        counted: Document | None = await self._owners.find_one_and_update(
            {"_id": owner},
            {"$inc": {"accounts": 1}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
            session=session,
        )
        if counted is not None and counted["accounts"] > self._most_per_user:
            raise RejectedError(
                "account_limit_reached",
                f"You have opened {self._most_per_user} accounts, which is as many as one user may have; "
                "closed ones count.",
            )

    async def _opened_before(self, owner: UUID, idempotency_key: str) -> Opened | None:
        query = {"owner": owner, "idempotency_key": idempotency_key}
        kept = await self._accounts.find_one(query, {"fingerprint": 1})
        account = None if kept is None else await self._first({"_id": kept["_id"]}, session=None)
        if kept is None or account is None:
            return None
        return Opened(account, kept["fingerprint"], replayed=True)

    async def ensure_settlement_account(self, currency: str) -> None:
        """Create the account through which a currency enters and leaves, once."""
        await self._ensure_system_account(settlement_account(currency), currency)

    async def ensure_adjustment_account(self, currency: str) -> None:
        """Create the account against which balances of a currency are corrected, once."""
        await self._ensure_system_account(adjustment_account(currency), currency)

    async def _ensure_system_account(self, account_id: str, currency: str) -> None:
        """Create an account of the bank's own; it may go below zero."""
        new = {"owner": None, "status": "active", "currency": currency, "balance": 0, "sequence": 0}
        try:
            await self._accounts.update_one({"_id": account_id}, {"$setOnInsert": new}, upsert=True)
        except DuplicateKeyError:
            return  # another process was quicker
        except PyMongoError as error:
            raise unavailable(error) from error

    async def find(self, account_id: str, *, owner: UUID | None) -> Account | None:
        """Return the account; with an owner given, only if it is theirs."""
        return await self._find(account_id, owner, session=None)

    async def change(
        self,
        account_id: str,
        *,
        owner: UUID | None,
        change: Change,
        numbered: Numbered,
        tell: Tell,
        alongside: Alongside,
    ) -> Account:
        """Apply a change of the domain and write its event, in one transaction.

        The change takes the account's next number, as an entry does: whoever is about to move money on the
        account as it was finds the number taken. It takes a turn, as a group does: payments of other
        processes would take that number first, again and again.

        `alongside` gets the account before and after, and writes what must be written with the change or not
        at all; what it raises undoes the change. It may run several times.

        Raises:
            NotFoundError: there is no such account, or it is not the owner's.
            ConflictError: the change refuses; nothing is written.
        """
        begun = time.monotonic()

        async def body(session: Session) -> Account:
            turn = await self._turns.take(session, waiting_since=begun)
            before = await self._find(account_id, owner, session=session)
            if before is None:
                raise account_not_found(account_id)
            after = change(before)
            if after != before:
                after = replace(after, sequence=before.sequence + 1)
                await self._accounts.update_one({"_id": account_id}, _changed(after), session=session)
                entry = Entry(after.id, 0, after.balance_minor, after.sequence)
                await self._journal.insert_one(change_document(numbered(entry)), session=session)
                await self._outbox.add(tell(after), events=1, session=session)
            if turn is not None:
                await self._turns.leave_note(turn, [after], session)
            await alongside(before, after, session)
            return after

        while time.monotonic() < begun + TRANSACTION_TIMEOUT_SECONDS:
            try:
                return await run_transaction(self._client, body)
            except DuplicateKeyError:
                continue  # a payment came first, by another process
        raise TransientError("unavailable", f"Account {account_id} is too busy to change; try again.")

    async def page(
        self, *, owner: UUID | None, status: AccountStatus | None, limit: int, cursor: str | None
    ) -> tuple[list[Account], str | None]:
        """Return accounts, newest first, and the cursor of the next page."""
        query: Document = {"owner": owner or {"$ne": None}}
        if status is not None:
            query["status"] = status.value
        position = decode_cursor(cursor)
        if position is not None:
            opened_at, last_id = _read_position(position)
            query["$or"] = [
                {"opened_at": {"$lt": opened_at}},
                {"opened_at": opened_at, "_id": {"$lt": last_id}},
            ]
        stages: list[Document] = [
            {"$match": query},
            {"$sort": {"opened_at": -1, "_id": -1}},
            {"$limit": limit + 1},
            WITH_NEWEST,
        ]
        async with self._client.start_session(snapshot=True) as session:
            found = await self._accounts.aggregate(stages, session=session)
            accounts = [_from_document(document) async for document in found]
        more = len(accounts) > limit
        accounts = accounts[:limit]
        return accounts, _position(accounts[-1]) if more else None

    async def owners(self, account_ids: Sequence[str]) -> dict[str, UUID | None]:
        """Return who owns the accounts that exist."""
        found = self._accounts.find({"_id": {"$in": list(account_ids)}}, {"owner": 1})
        return {document["_id"]: document["owner"] async for document in found}

    async def _find(self, account_id: str, owner: UUID | None, *, session: Session | None) -> Account | None:
        return await self._first(_visible(account_id, owner), session=session)

    async def _first(self, query: Document, *, session: Session | None) -> Account | None:
        """Read account and journal as of one moment: a frozen account's number must not show it active."""
        if session is None:
            async with self._client.start_session(snapshot=True) as snapshot:
                return await self._first(query, session=snapshot)
        found = await self._accounts.aggregate(
            [{"$match": query}, {"$limit": 1}, WITH_NEWEST], session=session
        )
        documents = await found.to_list()
        return _from_document(documents[0]) if documents else None


def _visible(account_id: str, owner: UUID | None) -> Document:
    """Ownership is part of the query, so that no check can be forgotten after it."""
    return {"_id": account_id, "owner": owner or {"$ne": None}}


def _to_document(account: Account) -> Document:
    return {
        "_id": account.id,
        "owner": account.owner,
        "name": account.name,
        "type": account.type.value,
        "status": account.status.value,
        "status_reason": account.status_reason,
        "currency": account.currency,
        "balance": account.balance_minor,
        "sequence": account.sequence,
        "opened_at": account.opened_at,
    }


def _changed(account: Account) -> Document:
    """The balance is written down as well, so that readers of the number find what belongs to it."""
    return {
        "$set": {
            "type": account.type.value,
            "status": account.status.value,
            "status_reason": account.status_reason,
            "balance": account.balance_minor,
            "sequence": account.sequence,
        }
    }


def _from_document(document: dict[str, Any]) -> Account:
    balance_minor, sequence = newest_state(document)
    return Account(
        id=document["_id"],
        owner=document["owner"],
        name=document["name"],
        type=AccountType(document["type"]),
        status=AccountStatus(document["status"]),
        status_reason=document["status_reason"],
        currency=document["currency"],
        balance_minor=balance_minor,
        sequence=sequence,
        opened_at=document["opened_at"],
    )


def _position(account: Account) -> str:
    milliseconds = (account.opened_at - _EPOCH) // timedelta(milliseconds=1)
    return encode_cursor(_CURSOR.pack(milliseconds, account.id.encode()))


def _read_position(position: bytes) -> tuple[datetime, str]:
    try:
        milliseconds, last_id = _CURSOR.unpack(position)
        return _EPOCH + timedelta(milliseconds=milliseconds), last_id.decode("ascii")
    except (struct.error, OverflowError, UnicodeDecodeError):
        raise invalid_cursor() from None
