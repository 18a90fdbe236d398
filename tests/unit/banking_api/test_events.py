"""What is told of records fits the published models."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from daemons.banking_api.books.events import topic_of
from daemons.banking_api.kinds.kind import Event, concerned
from daemons.banking_api.kinds.table import KINDS
from daemons.banking_api.ledger.account import Entry
from daemons.banking_api.ledger.record import Failure, Record
from daemons.contracts.events.table import DATA_MODELS
from daemons.contracts.names import EventType

ALICE, BOB = UUID(int=1), UUID(int=2)
USERS: dict[UUID, dict[str, Any]] = {
    ALICE: {"user_id": str(ALICE), "display_name": "Alice"},
    BOB: {"user_id": str(BOB), "display_name": None},
}
NOW = datetime(2026, 11, 23, 5, 34, 42, 123000, tzinfo=UTC)
SENDER, RECEIVER = "1000000009", "1000000018"


def record(kind: str, sender: Entry, receiver: Entry, **data: object) -> Record:
    return Record(
        id=UUID(int=9),
        kind=kind,
        initiator=ALICE,
        idempotency_id=b"i" * 16,
        fingerprint=b"f" * 16,
        at=NOW,
        entries=(sender, receiver),
        data={
            "from": sender.account_id,
            "to": receiver.account_id,
            "amount": 1234,
            "currency": "EUR",
            "reference": "rent",
            **data,
        },
    )


TRANSFER = record("transfer", Entry(SENDER, ALICE, -1234, 0, 4), Entry(RECEIVER, BOB, 1234, 1234, 7))


def failed(completed: Record, code: str, attempt: Entry | None = None) -> Record:
    return completed._replace(entries=(), failure=Failure(code, "No."), attempt=attempt)


def told(of: Record) -> Event:
    event = KINDS[of.kind].event(of, USERS)
    assert event.type.value == topic_of(of)
    assert set(concerned(of)) <= set(USERS)
    return event


def parsed(event: Event) -> dict[str, Any]:
    model = DATA_MODELS[EventType(event.type)].model_validate_json(json.dumps(event.data))
    return model.model_dump(mode="json")


def test_a_completed_transfer() -> None:
    event = told(TRANSFER)
    assert (event.type, event.key, event.id) == ("TransactionCompleted", SENDER, UUID(int=9))
    data = parsed(event)
    assert data["amount"] == {"amount": "12.34", "currency": "EUR"}
    assert data["sender"] == {
        "account_id": SENDER,
        "owner": {"user_id": str(ALICE), "display_name": "Alice"},
        "sequence": 4,
    }
    assert data["receiver"]["owner"] == {"user_id": str(BOB), "display_name": None}
    assert data["occurred_at"] == "2026-11-23T05:34:42.123Z"


def test_a_failed_transfer_tells_reason_and_accounts_and_nothing_of_who_was_to_receive() -> None:
    event = told(failed(TRANSFER, "account_frozen", Entry(SENDER, ALICE, 0, 5, 4)))
    data = parsed(event)
    assert event.type == "TransactionFailed"
    assert data["failure"] == {"code": "account_frozen", "detail": "No."}
    assert data["sender"] == {"account_id": SENDER, "owner": USERS[ALICE], "sequence": None}
    assert data["receiver"] == {"account_id": RECEIVER, "owner": None, "sequence": None}


def test_a_funding() -> None:
    funding = record(
        "funding", Entry("settlement:EUR", None, -1234, -1234, 2), Entry(RECEIVER, BOB, 1234, 1234, 7)
    )
    event = told(funding)
    assert (event.type, event.key) == ("AccountFundedPayload", RECEIVER)
    assert parsed(event)["receiver"]["sequence"] == 7


def test_a_correction() -> None:
    credit = record(
        "adjustment",
        Entry("adjustment:EUR", None, -1234, 0, 1),
        Entry(RECEIVER, BOB, 1234, 1234, 7),
        reference="booked twice",
        corrects=UUID(int=5),
    )
    event = told(credit)
    assert (event.type, event.key) == ("AccountAdjusted", RECEIVER)
    data = parsed(event)
    assert (data["direction"], data["reason"], data["corrects"]) == (
        "credit",
        "booked twice",
        str(UUID(int=5)),
    )
    assert data["account"]["sequence"] == 7
    debit = record(
        "adjustment",
        Entry(RECEIVER, BOB, -1234, 0, 8),
        Entry("adjustment:EUR", None, 1234, 1234, 1),
        corrects=None,
    )
    data = parsed(told(debit))
    assert (data["direction"], data["corrects"]) == ("debit", None)
    assert data["account"] == {"account_id": RECEIVER, "owner": USERS[BOB], "sequence": 8}
    refused = parsed(told(failed(debit, "insufficient_funds", Entry(RECEIVER, BOB, 0, 5, 7))))
    assert refused["kind"] == "adjustment"


def test_a_frozen_account() -> None:
    terms = {"type": "savings", "status": "frozen", "status_reason": "x", "currency": "EUR", "name": None}
    freeze = TRANSFER._replace(
        kind="freeze",
        initiator=BOB,
        entries=(Entry(SENDER, ALICE, 0, 0, 5, {"status": "frozen"}),),
        data={"account": SENDER, "reason": "fraud check", "before": None, "after": terms},
    )
    event = told(freeze)
    data = parsed(event)
    assert (event.type, event.id, event.key) == ("AccountChanged", UUID(int=9), SENDER)
    assert (data["change"], data["status"], data["reason"]) == ("frozen", "frozen", "fraud check")
    assert (data["sequence"], data["type"], data["initiated_by"]) == (5, "savings", USERS[BOB])
