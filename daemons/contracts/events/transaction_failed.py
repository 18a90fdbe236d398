"""TransactionFailed: a business rule refused a transaction; no money has moved."""

from datetime import UTC, datetime

from daemons.contracts.events.contract import ANN, EventContract, FailureView, Party, TransactionEvent
from daemons.contracts.names import EventType
from daemons.contracts.wire import MoneyView


class TransactionFailed(TransactionEvent):
    """An attempt was refused by a business rule; nothing has moved."""

    failure: FailureView


CONTRACT = EventContract(
    event_type=EventType.TRANSACTION_FAILED,
    version=1,
    model=TransactionFailed,
    summary="a business rule refused a transaction; no money has moved",
    key="account that the money would have left",
    example=TransactionFailed(
        transaction_id="01890a5d-ac96-774b-bcce-b302099a8001",
        kind="transfer",
        description=None,
        amount=MoneyView(amount="250.00", currency="EUR"),
        sender=Party(account_id="4119038413", owner=ANN, sequence=None),
        receiver=Party(account_id="4670508035", owner=None, sequence=None),
        reference="Rent",
        initiated_by=ANN,
        failure=FailureView(code="insufficient_funds", detail="The balance is too low."),
        occurred_at=datetime(2026, 11, 30, 9, 15, 2, 125000, tzinfo=UTC),
    ),
)
