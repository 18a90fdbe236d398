"""Events as the relay of banking_api publishes them."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from daemons.contracts.events.account_adjusted import AccountAdjusted
from daemons.contracts.events.account_changed import AccountChanged
from daemons.contracts.events.account_funded import AccountFundedPayload
from daemons.contracts.events.contract import FailureView, Party, UserReference
from daemons.contracts.events.transaction_completed import TransactionCompleted
from daemons.contracts.events.transaction_failed import TransactionFailed
from daemons.contracts.events.user_changed import UserChanged
from daemons.contracts.events.user_registered import UserRegistered
from daemons.contracts.names import EventType
from daemons.contracts.wire import MoneyView, WireModel
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.kafka.records import IncomingRecord, OutgoingRecord, event_headers

SOURCE = "/banking_api"
ANN = UserReference(user_id="01890a5d-ac96-774b-bcce-b302099a8057", display_name="Ann Berg")
BO = UserReference(user_id="01890a5d-ac96-774b-bcce-b302099a8058", display_name=None)
OLGA = UserReference(user_id="01890a5d-ac96-774b-bcce-b302099a8059", display_name="Olga Okoye")
ANNS_ACCOUNT = "0000000017"
BOS_ACCOUNT = "0000000024"
_ANN_NOW: dict[str, Any] = {
    "user_id": ANN.user_id,
    "display_name": "Ann Berg",
    "email": "ann@example.com",
    "role": "user",
    "status": "active",
    "second_factor": False,
}
MONEY = MoneyView(amount="12.34", currency="EUR")


def completed(
    event_id: UUID,
    *,
    sender: str = ANNS_ACCOUNT,
    receiver: str = BOS_ACCOUNT,
    reference: str | None = "rent",
    kind: str = "transfer",
    description: str | None = None,
) -> TransactionCompleted:
    return TransactionCompleted(
        transaction_id=str(event_id),
        kind=kind,
        description=description,
        amount=MONEY,
        sender=Party(account_id=sender, owner=ANN, sequence=1),
        receiver=Party(account_id=receiver, owner=BO if receiver == BOS_ACCOUNT else None, sequence=1),
        reference=reference,
        initiated_by=ANN,
        occurred_at=utc_now(),
    )


def failed(
    event_id: UUID, *, kind: str = "transfer", receiver: str = BOS_ACCOUNT, description: str | None = None
) -> TransactionFailed:
    return TransactionFailed(
        transaction_id=str(event_id),
        kind=kind,
        description=description,
        amount=MONEY,
        sender=Party(account_id=ANNS_ACCOUNT, owner=ANN, sequence=None),
        receiver=Party(account_id=receiver, owner=None, sequence=None),
        reference=None,
        initiated_by=ANN,
        failure=FailureView(code="insufficient_funds", detail="No money."),
        occurred_at=utc_now(),
    )


def funded(event_id: UUID) -> AccountFundedPayload:
    return AccountFundedPayload(
        transaction_id=str(event_id),
        amount=MONEY,
        receiver=Party(account_id=ANNS_ACCOUNT, owner=ANN, sequence=1),
        reference=None,
        initiated_by=OLGA,
        occurred_at=utc_now(),
    )


def adjusted(
    event_id: UUID, *, direction: Literal["credit", "debit"] = "credit", corrects: str | None = None
) -> AccountAdjusted:
    return AccountAdjusted(
        transaction_id=str(event_id),
        direction=direction,
        amount=MONEY,
        account=Party(account_id=ANNS_ACCOUNT, owner=ANN, sequence=1),
        reason="booked twice",
        corrects=corrects,
        initiated_by=OLGA,
        occurred_at=utc_now(),
    )


def changed(
    change: Literal["opened", "frozen", "unfrozen", "type_changed", "closed"], *, reason: str | None = None
) -> AccountChanged:
    return AccountChanged(
        account_id=ANNS_ACCOUNT,
        change=change,
        type="savings",
        status="frozen" if change == "frozen" else "active",
        currency="EUR",
        owner=ANN,
        reason=reason,
        initiated_by=OLGA,
        occurred_at=utc_now(),
    )


def registered() -> UserRegistered:
    return UserRegistered(**_ANN_NOW, version=1, initiated_by=None, occurred_at=utc_now())


def user_changed(
    *changes: Literal["display_name", "email", "role", "status", "second_factor", "password"],
    by: UserReference | None = OLGA,
    **now: Any,
) -> UserChanged:
    told = {**_ANN_NOW, **now}
    return UserChanged(**told, version=2, occurred_at=utc_now(), changes=list(changes), initiated_by=by)


def publishable(
    event_id: UUID, data: WireModel, *, key: str = ANNS_ACCOUNT, time: datetime | None = None
) -> OutgoingRecord:
    event_type = EventType(type(data).__name__)
    headers = event_headers(
        event_id=event_id, event_type=event_type.value, source=SOURCE, time=time or utc_now()
    )
    return OutgoingRecord(event_type.value, key, data.model_dump_json().encode(), headers)


def consumed(record: OutgoingRecord, *, offset: int = 0, partition: int = 0) -> IncomingRecord:
    headers = {
        name: value.encode() if isinstance(value, str) else value or b""
        for name, value in record.headers.items()
    }
    return IncomingRecord(record.topic, partition, offset, record.key.encode(), record.value, headers)


def transfers(count: int) -> list[OutgoingRecord]:
    """Completed transfers of many senders, so that they spread over all partitions."""
    made = []
    for index in range(count):
        event_id, sender = new_id(), f"{index % 97:010d}"
        made.append(publishable(event_id, completed(event_id, sender=sender), key=sender))
    return made


def incoming(count: int, *, first_offset: int = 0) -> list[IncomingRecord]:
    return [consumed(record, offset=first_offset + index) for index, record in enumerate(transfers(count))]


def ids_of(records: list[OutgoingRecord]) -> list[UUID]:
    return [UUID(str(record.headers["ce_id"])) for record in records]
