"""What is told of transactions and accounts fits the published models."""

import json
from datetime import UTC, datetime
from uuid import UUID

from daemons.banking_api.domain.account import Account, AccountStatus, AccountType
from daemons.banking_api.domain.journal import (
    Entry,
    Failure,
    JournalTransaction,
    TransactionKind,
)
from daemons.banking_api.services.events import Event, event_of, tell_of_account

from daemons.contracts.events import DATA_MODELS, EventType

ALICE, BOB = UUID(int=1), UUID(int=2)
USERS = {
    ALICE: {"user_id": str(ALICE), "display_name": "Alice"},
    BOB: {"user_id": str(BOB), "display_name": None},
}
NOW = datetime(2026, 11, 23, 5, 34, 42, 123000, tzinfo=UTC)


def transaction(kind: TransactionKind, failure: Failure | None = None) -> JournalTransaction:
    sender = "settlement:EUR" if kind is TransactionKind.FUNDING else "1000000009"
    return JournalTransaction(
        id=UUID(int=9),
        kind=kind,
        initiator=ALICE,
        idempotency_id=b"i" * 16,
        fingerprint=b"f" * 16,
        from_account=sender,
        to_account="1000000018",
        from_owner=None if kind is TransactionKind.FUNDING else ALICE,
        to_owner=BOB,
        amount_minor=1234,
        currency="EUR",
        reference="rent",
        entries=() if failure else (Entry(sender, -1234, 0, 4), Entry("1000000018", 1234, 1234, 7)),
        failure=failure,
        created_at=NOW,
    )


def parsed(event: Event) -> dict[str, object]:
    return parsed_as(event.type, event.data)


def parsed_as(event_type: str, data: dict[str, object]) -> dict[str, object]:
    return DATA_MODELS[EventType(event_type)].model_validate_json(json.dumps(data)).model_dump(mode="json")


def test_a_completed_transfer() -> None:
    event = event_of(transaction(TransactionKind.TRANSFER), USERS)
    assert (event.type, event.key, event.id) == ("TransactionCompleted", "1000000009", UUID(int=9))
    data = parsed(event)
    assert data["amount"] == {"amount": "12.34", "currency": "EUR"}
    assert data["sender"] == {
        "account_id": "1000000009",
        "owner": {"user_id": str(ALICE), "display_name": "Alice"},
        "sequence": 4,
    }
    assert data["occurred_at"] == "2026-11-23T05:34:42.123Z"


def test_a_failed_transfer_tells_reason_and_accounts() -> None:
    event = event_of(transaction(TransactionKind.TRANSFER, Failure("account_frozen", "Frozen.")), USERS)
    data = parsed(event)
    assert event.type == "TransactionFailed"
    assert data["failure"] == {"code": "account_frozen", "detail": "Frozen."}
    assert data["sender"]["account_id"] == "1000000009"  # type: ignore[index]
    assert data["receiver"]["account_id"] == "1000000018"  # type: ignore[index]


def test_a_funding() -> None:
    event = event_of(transaction(TransactionKind.FUNDING), USERS)
    assert (event.type, event.key) == ("AccountFundedPayload", "1000000018")
    assert parsed(event)["receiver"]["sequence"] == 7  # type: ignore[index]


def test_a_correction() -> None:
    credit = transaction(TransactionKind.TRANSFER)._replace(
        kind=TransactionKind.ADJUSTMENT,
        from_account="adjustment:EUR",
        from_owner=None,
        reference="booked twice",
        corrects=UUID(int=5),
    )
    event = event_of(credit, USERS)
    assert (event.type, event.key) == ("AccountAdjusted", "1000000018")
    data = parsed(event)
    assert (data["direction"], data["reason"], data["corrects"]) == (
        "credit",
        "booked twice",
        str(UUID(int=5)),
    )
    assert data["account"]["sequence"] == 7  # type: ignore[index]
    debit = credit._replace(
        from_account="1000000018",
        from_owner=BOB,
        to_account="adjustment:EUR",
        to_owner=None,
        entries=(Entry("1000000018", -1234, 0, 8), Entry("adjustment:EUR", 1234, 1234, 1)),
        corrects=None,
    )
    told = parsed(event_of(debit, USERS))
    assert (told["direction"], told["corrects"]) == ("debit", None)
    assert told["account"] == {
        "account_id": "1000000018",
        "owner": {"user_id": str(BOB), "display_name": None},
        "sequence": 8,
    }
    refused = debit._replace(entries=(), failure=Failure("insufficient_funds", "No."))
    failed = parsed(event_of(refused, USERS))
    assert failed["kind"] == "adjustment"


def test_a_frozen_account() -> None:
    account = Account(
        id="1000000009",
        owner=ALICE,
        name=None,
        type=AccountType.SAVINGS,
        status=AccountStatus.FROZEN,
        status_reason="fraud check",
        currency="EUR",
        balance_minor=0,
        sequence=0,
        opened_at=NOW,
    )
    told = tell_of_account(
        account, change="frozen", reason="fraud check", by=BOB, event_id=UUID(int=3), at=NOW
    )["account"]
    data = parsed_as("AccountChanged", told["data"])
    assert (told["id"], told["key"]) == (UUID(int=3), "1000000009")
    assert (data["change"], data["status"], data["reason"]) == ("frozen", "frozen", "fraud check")
