"""Tells of accounts and transactions as events.

A commit writes only which transactions it made: they never change, so the events are made of them when they
go out, and the commit carries no second copy of every transaction.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from daemons.banking_api.domain.account import Account
from daemons.banking_api.domain.journal import JournalTransaction, TransactionKind
from daemons.banking_api.domain.money import format_minor
from daemons.banking_api.storage.just_committed import JustCommitted
from daemons.banking_api.storage.user_directory import UserDirectory
from daemons.contracts.events import EventType
from daemons.contracts.wire import format_instant
from daemons.shared.kafka.records import OutgoingRecord, event_headers
from daemons.shared.mongo import Document
from daemons.shared.outbox.store import OutboxEntry

SOURCE = "/banking_api"
BANK_HEADER = "ce_bankid"
"""The bank that tells it, by the id that it has for good: several may share a Kafka."""
Users = Mapping[UUID, dict[str, Any]]
"""Users as events name them: `user_id` and `display_name`."""
_MADE_AT_ONCE = 250
_CHANGE_ROLES = ("owner", "initiated_by")


@dataclass(frozen=True, slots=True)
class Event:
    """An event before it is encoded."""

    id: UUID
    type: str
    key: str
    occurred_at: datetime
    data: dict[str, Any]


def event_of(transaction: JournalTransaction, users: Users) -> Event:
    """Return the one event of a journal transaction; it carries the transaction's own id."""
    data: dict[str, Any] = {
        "transaction_id": str(transaction.id),
        "amount": {
            "amount": format_minor(transaction.amount_minor, transaction.currency),
            "currency": transaction.currency,
        },
        "receiver": _party(transaction, transaction.to_account, transaction.to_owner, users),
        "reference": transaction.reference,
        "initiated_by": users[transaction.initiator],
        "occurred_at": format_instant(transaction.created_at),
    }
    key = transaction.from_account
    sender = _party(transaction, transaction.from_account, transaction.from_owner, users)
    if transaction.failure is not None:
        event_type = EventType.TRANSACTION_FAILED
        failure = {"code": transaction.failure.code, "detail": transaction.failure.detail}
        data |= {"kind": transaction.kind.value, "sender": sender, "failure": failure}
    elif transaction.kind is TransactionKind.ADJUSTMENT:
        event_type = EventType.ACCOUNT_ADJUSTED
        key = transaction.customers_account
        data = _adjustment_data(transaction, data, users)
    elif transaction.kind is TransactionKind.FUNDING:
        event_type = EventType.ACCOUNT_FUNDED
        key = transaction.to_account
    else:
        event_type = EventType.TRANSACTION_COMPLETED
        data["sender"] = sender
    return Event(transaction.id, event_type.value, key, transaction.created_at, data)


def _adjustment_data(transaction: JournalTransaction, common: dict[str, Any], users: Users) -> dict[str, Any]:
    """One account and a direction instead of two sides, of which one is the bank's own."""
    debit = transaction.customers_account == transaction.from_account
    owner = transaction.from_owner if debit else transaction.to_owner
    return {
        **{name: common[name] for name in ("transaction_id", "amount", "initiated_by", "occurred_at")},
        "direction": "debit" if debit else "credit",
        "account": _party(transaction, transaction.customers_account, owner, users),
        "reason": transaction.reference or "",
        "corrects": None if transaction.corrects is None else str(transaction.corrects),
    }


def tell_of_account(
    account: Account, *, change: str, reason: str | None, by: UUID, event_id: UUID, at: datetime
) -> Document:
    """Return the outbox body of an account that was opened, frozen, unfrozen, closed, or changed its type.

    Users' names in it are null; they are looked up when it goes out.
    """
    data = {
        "account_id": account.id,
        "change": change,
        "sequence": account.sequence,
        "type": account.type.value,
        "status": account.status.value,
        "currency": account.currency,
        "owner": _user(account.owner),
        "reason": reason,
        "initiated_by": _user(by),
        "occurred_at": format_instant(at),
    }
    return {"account": {"id": event_id, "key": account.id, "at": at, "data": data}}


class EventEncoder:
    """Turns outbox entries into Kafka records: transactions and names are each asked for once per batch."""

    def __init__(self, transactions: JustCommitted, directory: UserDirectory, *, bank_id: UUID) -> None:
        self._transactions = transactions
        self._directory = directory
        self._bank_id = str(bank_id)

    async def encode(self, entries: Sequence[OutboxEntry]) -> list[OutgoingRecord]:
        """Return the records in the entries' order.

        Raises:
            TransientError: the names cannot be had now; the entries stay in the outbox.
        """
        ids = [id_ for entry in entries for id_ in entry.body.get("transactions", ())]
        transactions = await self._transactions.take(ids) if ids else {}
        changes = [entry.body["account"]["data"] for entry in entries if "account" in entry.body]
        concerned = {user_id for found in transactions.values() for user_id in _concerned(found)}
        concerned.update(UUID(data[role]["user_id"]) for data in changes for role in _CHANGE_ROLES)
        names = await self._directory.names(concerned)
        users = {user_id: _user(user_id, name) for user_id, name in names.items()}
        records: list[OutgoingRecord] = []
        made = 0
        for entry in entries:
            if "account" in entry.body:
                records.append(self._record(_change_of(entry.body["account"], users)))
            records += [
                self._record(event_of(transactions[id_], users)) for id_ in entry.body.get("transactions", ())
            ]
            if len(records) - made >= _MADE_AT_ONCE:
                # However many events go out, requests are answered in between.
                made = len(records)
                await asyncio.sleep(0)
        return records

    def _record(self, event: Event) -> OutgoingRecord:
        headers = event_headers(
            event_id=event.id, event_type=event.type, source=SOURCE, time=event.occurred_at
        )
        headers[BANK_HEADER] = self._bank_id
        return OutgoingRecord(topic=event.type, key=event.key, value=to_json(event.data), headers=headers)


def _concerned(transaction: JournalTransaction) -> Iterable[UUID]:
    yield transaction.initiator
    if transaction.from_owner is not None:
        yield transaction.from_owner
    if transaction.to_owner is not None:
        yield transaction.to_owner


def _change_of(told: Document, users: Users) -> Event:
    named = {role: users[UUID(told["data"][role]["user_id"])] for role in _CHANGE_ROLES}
    data = {**told["data"], **named}
    return Event(told["id"], EventType.ACCOUNT_CHANGED.value, told["key"], told["at"], data)


def _party(
    transaction: JournalTransaction, account_id: str, owner: UUID | None, users: Users
) -> dict[str, Any]:
    entry = transaction.entry_of(account_id)
    return {
        "account_id": account_id,
        "owner": None if owner is None else users[owner],
        "sequence": None if entry is None else entry.sequence,
    }


def _user(user_id: UUID, name: str | None = None) -> dict[str, Any]:
    return {"user_id": str(user_id), "display_name": name}
