"""Journal transactions as MongoDB documents."""

from functools import lru_cache
from uuid import UUID

from bson import Binary

from daemons.banking_api.domain.journal import (
    Entry,
    Failure,
    JournalTransaction,
    TransactionKind,
    TransactionStatus,
    is_system_account,
)
from daemons.shared.mongo import Document


def to_document(transaction: JournalTransaction) -> Document:
    """Return the document; amounts are 64-bit integers of minor units."""
    document: Document = {
        "_id": transaction.id,
        "kind": transaction.kind.value,
        "status": "completed" if transaction.failure is None else "failed",
        "initiator": _binary(transaction.initiator),
        "idem": Binary(transaction.idempotency_id),
        "fingerprint": Binary(transaction.fingerprint),
        "from": transaction.from_account,
        "to": transaction.to_account,
        "from_owner": _binary(transaction.from_owner),
        "to_owner": _binary(transaction.to_owner),
        "amount": transaction.amount_minor,
        "currency": transaction.currency,
        "reference": transaction.reference,
        "at": transaction.created_at,
        "accounts": _accounts_with_history(transaction),
        "entries": [
            {
                "account": entry.account_id,
                "amount": entry.amount_minor,
                "balance": entry.balance_after_minor,
                "sequence": entry.sequence,
            }
            for entry in transaction.entries
        ],
    }
    if transaction.corrects is not None:
        document["corrects"] = transaction.corrects
    if transaction.failure is not None:
        document["failure"] = {"code": transaction.failure.code, "detail": transaction.failure.detail}
    return document


def from_document(document: Document) -> JournalTransaction:
    """Return the transaction a document holds."""
    failure = document.get("failure")
    return JournalTransaction(
        id=document["_id"],
        kind=TransactionKind(document["kind"]),
        status=TransactionStatus(document["status"]),
        initiator=document["initiator"],
        idempotency_id=bytes(document["idem"]),
        fingerprint=bytes(document["fingerprint"]),
        from_account=document["from"],
        to_account=document["to"],
        from_owner=document["from_owner"],
        to_owner=document["to_owner"],
        amount_minor=document["amount"],
        currency=document["currency"],
        reference=document["reference"],
        entries=tuple(
            Entry(entry["account"], entry["amount"], entry["balance"], entry["sequence"])
            for entry in document["entries"]
        ),
        failure=Failure(failure["code"], failure["detail"]) if failure else None,
        created_at=document["at"],
        corrects=document.get("corrects"),
    )


def _accounts_with_history(transaction: JournalTransaction) -> list[str]:
    """A failed attempt is nobody's business but its initiator's: it never shows in the other's history."""
    if transaction.failure is None:
        return [transaction.from_account, transaction.to_account]
    if is_system_account(transaction.from_account) or is_system_account(transaction.to_account):
        return [transaction.customers_account]
    return [transaction.from_account] if transaction.from_owner == transaction.initiator else []


@lru_cache(maxsize=65_536)
def _binary(user_id: UUID | None) -> Binary | None:
    """The driver makes this anew for every field; users come again and again."""
    return None if user_id is None else Binary.from_uuid(user_id)
