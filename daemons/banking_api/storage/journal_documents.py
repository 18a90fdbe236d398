"""Journal transactions, and changes of accounts, as MongoDB documents.

`entries` holds what takes a place in an account's history: the two entries of a completed transaction, the
one change of an account, or the account as a failed attempt found it, marked by `attempt`.
"""

from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from bson.binary import UUID_SUBTYPE, Binary

from daemons.banking_api.domain.journal import (
    Entry,
    Failure,
    JournalTransaction,
    TransactionKind,
)
from daemons.shared.mongo import Document

CHANGE = "change"
"""The kind of a document that is no transaction: an account was frozen, say, and took a number for it."""


class AccountChange(NamedTuple):
    """A change of an account, numbered among its entries so that no payment passes it unseen."""

    id: UUID
    change: str
    entry: Entry
    at: datetime


def to_document(transaction: JournalTransaction) -> Document:
    """Return the document; amounts are 64-bit integers of minor units."""
    document: Document = {
        "_id": Binary(transaction.id.bytes, UUID_SUBTYPE),
        "kind": transaction.kind.value,
        "status": "completed" if transaction.failure is None else "failed",
        "initiator": _binary(transaction.initiator),
        "idem": transaction.idempotency_id,
        "fingerprint": transaction.fingerprint,
        "from": transaction.from_account,
        "to": transaction.to_account,
        "from_owner": _binary(transaction.from_owner),
        "to_owner": _binary(transaction.to_owner),
        "amount": transaction.amount_minor,
        "currency": transaction.currency,
        "reference": transaction.reference,
        "at": transaction.created_at,
        "entries": [
            {"account": account, "amount": amount, "balance": balance, "sequence": sequence}
            for account, amount, balance, sequence in transaction.entries
        ],
    }
    if transaction.corrects is not None:
        document["corrects"] = transaction.corrects
    if transaction.failure is not None:
        document["failure"] = {"code": transaction.failure.code, "detail": transaction.failure.detail}
    if transaction.attempt is not None:
        document["entries"] = [{**_entry_document(transaction.attempt), "attempt": transaction.id}]
    return document


def from_document(document: Document) -> JournalTransaction:
    """Return the transaction a document holds."""
    failure = document.get("failure")
    entries = document["entries"]
    return JournalTransaction(
        id=document["_id"],
        kind=TransactionKind(document["kind"]),
        initiator=document["initiator"],
        idempotency_id=document["idem"],
        fingerprint=document["fingerprint"],
        from_account=document["from"],
        to_account=document["to"],
        from_owner=document["from_owner"],
        to_owner=document["to_owner"],
        amount_minor=document["amount"],
        currency=document["currency"],
        reference=document["reference"],
        entries=tuple(entry_from(entry) for entry in entries if "attempt" not in entry),
        failure=Failure(failure["code"], failure["detail"]) if failure else None,
        created_at=document["at"],
        corrects=document.get("corrects"),
        attempt=next((entry_from(entry) for entry in entries if "attempt" in entry), None),
    )


def change_document(change: AccountChange) -> Document:
    """Return the document of an account's change."""
    return {
        "_id": change.id,
        "kind": CHANGE,
        "change": change.change,
        "at": change.at,
        "entries": [_entry_document(change.entry)],
    }


def state_after(document: Document, account_id: str) -> tuple[int, int]:
    """Return an account's balance in minor units and its sequence after the newest document that names it."""
    entry = next(entry for entry in document["entries"] if entry["account"] == account_id)
    return entry["balance"], entry["sequence"]


def entry_from(entry: Document) -> Entry:
    """Return the entry that a part of a document holds."""
    return Entry(entry["account"], entry["amount"], entry["balance"], entry["sequence"])


def _entry_document(entry: Entry) -> Document:
    account, amount, balance, sequence = entry
    return {"account": account, "amount": amount, "balance": balance, "sequence": sequence}


@lru_cache(maxsize=65_536)
def _binary(user_id: UUID | None) -> Binary | None:
    """The driver makes this anew for every field; users come again and again."""
    return None if user_id is None else Binary.from_uuid(user_id)
