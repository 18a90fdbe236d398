"""What the journal stores, field by field, and that it is read as it was written."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import bson
import pytest

from daemons.banking_api.ledger.account import Account, Entry, Terms, untouched
from daemons.banking_api.ledger.documents import (
    BSON_OPTIONS,
    account_document,
    encode,
    entry_from,
    raw,
    record_document,
    record_from,
    seal_document,
    seal_from,
    state_after,
)
from daemons.banking_api.ledger.record import Failure, Record
from daemons.banking_api.ledger.seal import GENESIS, seal
from daemons.contracts.names import AccountStatus, AccountType

ALICE, BOB = UUID(int=1), UUID(int=2)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
DATA = {"from": "A", "to": "B", "amount": 40, "currency": "EUR", "reference": "rent"}

COMPLETED = Record(
    id=UUID(int=9),
    kind="transfer",
    initiator=ALICE,
    idempotency_id=b"key",
    fingerprint=b"what is asked",
    at=NOW,
    entries=(Entry("A", ALICE, -40, 60, 3), Entry("B", BOB, 40, 140, 7)),
    data=DATA,
)
STORED: dict[str, Any] = {
    "_id": UUID(int=9),
    "kind": "transfer",
    "status": "completed",
    "initiator": ALICE,
    "idem": b"key",
    "fingerprint": b"what is asked",
    "at": NOW,
    "entries": [
        {"account": "A", "owner": ALICE, "amount": -40, "balance": 60, "sequence": 3},
        {"account": "B", "owner": BOB, "amount": 40, "balance": 140, "sequence": 7},
    ],
    "data": DATA,
}
FAILED = COMPLETED._replace(
    entries=(),
    failure=Failure("insufficient_funds", "Account A holds 0.20 EUR."),
    attempt=Entry("A", ALICE, 0, 20, 3),
)
ATTEMPT = {
    "account": "A",
    "owner": ALICE,
    "amount": 0,
    "balance": 20,
    "sequence": 3,
    "attempt": UUID(int=9),
}
STORED_FAILED = STORED | {
    "status": "failed",
    "failure": {"code": "insufficient_funds", "detail": "Account A holds 0.20 EUR."},
    "entries": [ATTEMPT],
}
CHANGE = {"status": "frozen", "status_reason": "fraud check"}
FREEZE = COMPLETED._replace(
    kind="freeze", entries=(Entry("A", ALICE, 0, 60, 4, CHANGE),), data={"account": "A"}
)
STORED_FREEZE = STORED | {
    "kind": "freeze",
    "entries": [
        {"account": "A", "owner": ALICE, "amount": 0, "balance": 60, "sequence": 4, "change": CHANGE}
    ],
    "data": {"account": "A"},
}
# A refusal on nobody's account stands in no history.
NOWHERE = FAILED._replace(attempt=None)
STORED_NOWHERE = STORED_FAILED | {"entries": []}


def as_read(document: dict[str, Any]) -> dict[str, Any]:
    return bson.decode(encode(document), codec_options=BSON_OPTIONS)


@pytest.mark.parametrize(
    ("record", "stored"),
    [
        (COMPLETED, STORED),
        (FAILED, STORED_FAILED),
        (FREEZE, STORED_FREEZE),
        (NOWHERE, STORED_NOWHERE),
    ],
    ids=["completed", "failed", "change", "on nobody's account"],
)
def test_a_record_is_stored_whole_and_read_as_it_was(record: Record, stored: dict[str, Any]) -> None:
    assert as_read(record_document(record)) == stored
    assert record_from(stored) == record


def test_a_seal_is_stored_with_the_ids_of_its_records_and_read_as_it_was() -> None:
    ids = [UUID(int=9), UUID(int=4)]
    made = seal([b"one", b"two"], GENESIS, at=NOW)
    assert seal_from(as_read(seal_document(made, ids))) == (made, ids)


def test_a_seals_document_says_what_it_is() -> None:
    made = seal([b"one", b"two"], GENESIS, at=NOW)
    stored = as_read(seal_document(made, [UUID(int=9), UUID(int=4)]))
    assert stored == {
        "_id": 1,
        "kind": "seal",
        "previous": GENESIS.hash,
        "root": made.root,
        "records": 2,
        "at": NOW,
        "hash": made.hash,
        "nodes": b"",
        "ids": UUID(int=9).bytes + UUID(int=4).bytes,
    }
    assert raw(encode(stored)).raw == encode(stored)


def test_times_and_ids_are_read_as_they_were_written() -> None:
    written = {"at": NOW, "id": UUID(int=9)}
    assert as_read(written) == written
    assert bson.decode(encode(written))["at"] == NOW.replace(tzinfo=None)


def test_the_cache_holds_all_of_an_account() -> None:
    terms = Terms(ALICE, AccountType.SAVINGS, AccountStatus.FROZEN, "EUR", "rainy days", "fraud check", NOW)
    assert account_document(Account("A", terms, 60, 3)) == {
        "_id": "A",
        "owner": ALICE,
        "type": "savings",
        "status": "frozen",
        "currency": "EUR",
        "name": "rainy days",
        "status_reason": "fraud check",
        "opened_at": NOW,
        "balance": 60,
        "sequence": 3,
    }
    own = untouched("settlement:EUR")
    assert own is not None
    assert account_document(own)["type"] is None


def test_the_newest_document_of_an_account_tells_its_state() -> None:
    assert [state_after(STORED, account) for account in "AB"] == [(60, 3), (140, 7)]
    assert entry_from(STORED["entries"][1]) == Entry("B", BOB, 40, 140, 7)
