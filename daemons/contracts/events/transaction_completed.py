"""TransactionCompleted: money has moved between two accounts."""

from datetime import UTC, datetime

from daemons.contracts.events.contract import ANN, BO, EventContract, Party, TransactionEvent
from daemons.contracts.names import EventType
from daemons.contracts.wire import MoneyView


class TransactionCompleted(TransactionEvent):
    """Money has moved from the sender's to the receiver's account; outside is the bank's settlement account.

    `description` says what kind, parties and reference do not, null if there is nothing to say.
    """


CONTRACT = EventContract(
    event_type=EventType.TRANSACTION_COMPLETED,
    version=1,
    model=TransactionCompleted,
    summary="money has moved between two accounts",
    key="account that the money left, or the receiver's if the sender is the bank",
    example=TransactionCompleted(
        transaction_id="01890a5d-ac96-774b-bcce-b302099a8001",
        kind="transfer",
        description=None,
        amount=MoneyView(amount="250.00", currency="EUR"),
        sender=Party(account_id="4119038413", owner=ANN, sequence=7),
        receiver=Party(account_id="4670508035", owner=BO, sequence=3),
        reference="Rent",
        initiated_by=ANN,
        occurred_at=datetime(2026, 11, 30, 9, 15, 2, 125000, tzinfo=UTC),
    ),
)
