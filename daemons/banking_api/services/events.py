"""Tells of accounts and transactions as events.

A commit writes only which transactions it made: the journal never changes, so the events are made from it
when they go out, and the commit carries no second copy of every transaction.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from daemons.banking_api.domain.account import Account
from daemons.banking_api.domain.journal import JournalTransaction, TransactionKind
from daemons.banking_api.domain.money import format_minor
from daemons.banking_api.storage.mongo_journal import MongoJournal
from daemons.banking_api.storage.user_directory import UserDirectory
from daemons.contracts.events import EventType
from daemons.contracts.wire import format_instant
from daemons.shared.kafka.records import OutgoingRecord, event_headers
from daemons.shared.mongo import Document
from daemons.shared.outbox.store import OutboxEntry

SOURCE = "/banking_api"


@dataclass(frozen=True, slots=True)
class Event:
    """An event before it is encoded; users' names in `data` are null until they are looked up."""

    id: UUID
    type: str
    key: str
    occurred_at: datetime
    data: dict[str, Any]


def event_of(transaction: JournalTransaction) -> Event:
    """Return the one event of a journal transaction; it carries the transaction's own id."""
    data: dict[str, Any] = {
        "transaction_id": str(transaction.id),
        "amount": {
            "amount": format_minor(transaction.amount_minor, transaction.currency),
            "currency": transaction.currency,
        },
        "receiver": _party(transaction, transaction.to_account, transaction.to_owner),
        "reference": transaction.reference,
        "initiated_by": _user(transaction.initiator),
        "occurred_at": format_instant(transaction.created_at),
    }
    key = transaction.from_account
    sender = _party(transaction, transaction.from_account, transaction.from_owner)
    if transaction.failure is not None:
        event_type = EventType.TRANSACTION_FAILED
        failure = {"code": transaction.failure.code, "detail": transaction.failure.detail}
        data |= {"kind": transaction.kind.value, "sender": sender, "failure": failure}
    elif transaction.kind is TransactionKind.ADJUSTMENT:
        event_type = EventType.ACCOUNT_ADJUSTED
        key = transaction.customers_account
        data = _adjustment_data(transaction, data)
    elif transaction.kind is TransactionKind.FUNDING:
        event_type = EventType.ACCOUNT_FUNDED
        key = transaction.to_account
    else:
        event_type = EventType.TRANSACTION_COMPLETED
        data["sender"] = sender
    return Event(transaction.id, event_type.value, key, transaction.created_at, data)


def _adjustment_data(transaction: JournalTransaction, common: dict[str, Any]) -> dict[str, Any]:
    """One account and a direction instead of two sides, of which one is the bank's own."""
    debit = transaction.customers_account == transaction.from_account
    owner = transaction.from_owner if debit else transaction.to_owner
    return {
        **{name: common[name] for name in ("transaction_id", "amount", "initiated_by", "occurred_at")},
        "direction": "debit" if debit else "credit",
        "account": _party(transaction, transaction.customers_account, owner),
        "reason": transaction.reference or "",
        "corrects": None if transaction.corrects is None else str(transaction.corrects),
    }


def tell_of_account(
    account: Account, *, change: str, reason: str | None, by: UUID, event_id: UUID, at: datetime
) -> Document:
    """Return the outbox body of an account that was opened, frozen, unfrozen, closed, or changed its type."""
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
    """Turns outbox entries into Kafka records: journal and names are each asked once per batch."""

    def __init__(self, journal: MongoJournal, directory: UserDirectory) -> None:
        self._journal = journal
        self._directory = directory

    async def encode(self, entries: Sequence[OutboxEntry]) -> list[OutgoingRecord]:
        """Return the records in the entries' order.

        Raises:
            TransientError: the names cannot be had now; the entries stay in the outbox.
        """
        events = await self._events_of(entries)
        users = [user for event in events for user in _users_in(event.data)]
        # Few users have many events: each id is parsed and looked up once.
        names = await self._directory.names(UUID(user_id) for user_id in {user["user_id"] for user in users})
        by_text = {str(user_id): name for user_id, name in names.items()}
        for user in users:
            user["display_name"] = by_text[user["user_id"]]
        return [_record(event) for event in events]

    async def _events_of(self, entries: Sequence[OutboxEntry]) -> list[Event]:
        ids = [id_ for entry in entries for id_ in entry.body.get("transactions", ())]
        transactions = await self._journal.by_id(ids) if ids else {}
        events: list[Event] = []
        for entry in entries:
            if "account" in entry.body:
                told = entry.body["account"]
                events.append(
                    Event(told["id"], EventType.ACCOUNT_CHANGED.value, told["key"], told["at"], told["data"])
                )
            events += [event_of(transactions[id_]) for id_ in entry.body.get("transactions", ())]
        return events


def _record(event: Event) -> OutgoingRecord:
    return OutgoingRecord(
        topic=event.type,
        key=event.key,
        value=json.dumps(event.data, ensure_ascii=False, separators=(",", ":")).encode(),
        headers=event_headers(
            event_id=event.id, event_type=event.type, source=SOURCE, time=event.occurred_at
        ),
    )


def _party(transaction: JournalTransaction, account_id: str, owner: UUID | None) -> dict[str, Any]:
    entry = transaction.entry_of(account_id)
    return {
        "account_id": account_id,
        "owner": None if owner is None else _user(owner),
        "sequence": None if entry is None else entry.sequence,
    }


def _user(user_id: UUID) -> dict[str, Any]:
    return {"user_id": str(user_id), "display_name": None}


def _users_in(data: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """Find every reference to a user in an event's data, wherever it stands."""
    if "user_id" in data:
        yield data
    for value in data.values():
        if isinstance(value, dict):
            yield from _users_in(value)
