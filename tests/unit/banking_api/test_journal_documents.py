"""What the journal stores, field by field, and that it is read as it was written."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from bson.binary import UUID_SUBTYPE, Binary
from daemons.banking_api.domain.journal import Entry, Failure, JournalTransaction, TransactionKind
from daemons.banking_api.storage.journal_documents import (
    AccountChange,
    change_document,
    entry_from,
    from_document,
    state_after,
    to_document,
)

ALICE, BOB = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 23, tzinfo=UTC)

COMPLETED = JournalTransaction(
    id=UUID(int=9),
    kind=TransactionKind.TRANSFER,
    initiator=ALICE,
    idempotency_id=b"key",
    fingerprint=b"what is asked",
    from_account="A",
    to_account="B",
    from_owner=ALICE,
    to_owner=BOB,
    amount_minor=40,
    currency="EUR",
    reference="rent",
    entries=(Entry("A", -40, 60, 3), Entry("B", 40, 140, 7)),
    failure=None,
    created_at=NOW,
)
STORED: dict[str, Any] = {
    "_id": UUID(int=9),
    "kind": "transfer",
    "status": "completed",
    "initiator": ALICE,
    "idem": b"key",
    "fingerprint": b"what is asked",
    "from": "A",
    "to": "B",
    "from_owner": ALICE,
    "to_owner": BOB,
    "amount": 40,
    "currency": "EUR",
    "reference": "rent",
    "at": NOW,
    "entries": [
        {"account": "A", "amount": -40, "balance": 60, "sequence": 3},
        {"account": "B", "amount": 40, "balance": 140, "sequence": 7},
    ],
}
FAILED = COMPLETED._replace(
    entries=(),
    failure=Failure("insufficient_funds", "Account A holds 0.20 EUR."),
    attempt=Entry("A", 0, 20, 3),
    to_owner=None,
    reference=None,
)
STORED_FAILED = STORED | {
    "status": "failed",
    "failure": {"code": "insufficient_funds", "detail": "Account A holds 0.20 EUR."},
    "entries": [{"account": "A", "amount": 0, "balance": 20, "sequence": 3, "attempt": UUID(int=9)}],
    "to_owner": None,
    "reference": None,
}
CORRECTION = COMPLETED._replace(kind=TransactionKind.ADJUSTMENT, corrects=UUID(int=5))
STORED_CORRECTION = STORED | {"kind": "adjustment", "corrects": UUID(int=5)}
# A refusal on nobody's account stands in no history.
NOWHERE = FAILED._replace(attempt=None)
STORED_NOWHERE = STORED_FAILED | {"entries": []}


@pytest.mark.parametrize(
    ("transaction", "stored"),
    [
        (COMPLETED, STORED),
        (FAILED, STORED_FAILED),
        (CORRECTION, STORED_CORRECTION),
        (NOWHERE, STORED_NOWHERE),
    ],
    ids=["completed", "failed", "correction", "on nobody's account"],
)
def test_a_transaction_is_stored_whole_and_read_as_it_was(
    transaction: JournalTransaction, stored: dict[str, Any]
) -> None:
    document = to_document(transaction)
    as_read = {
        name: value.as_uuid() if isinstance(value, Binary) and value.subtype == UUID_SUBTYPE else value
        for name, value in document.items()
    }
    assert as_read == stored
    assert from_document(stored) == transaction


def test_a_change_of_an_account_takes_a_number_among_its_entries() -> None:
    change = AccountChange(UUID(int=4), "frozen", Entry("A", 0, 60, 4), NOW)
    assert change_document(change) == {
        "_id": UUID(int=4),
        "kind": "change",
        "change": "frozen",
        "at": NOW,
        "entries": [{"account": "A", "amount": 0, "balance": 60, "sequence": 4}],
    }


def test_the_newest_document_of_an_account_tells_its_state() -> None:
    assert [state_after(STORED, account) for account in "AB"] == [(60, 3), (140, 7)]
    assert entry_from(STORED["entries"][1]) == Entry("B", 40, 140, 7)
