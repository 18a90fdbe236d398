"""TransactionFailed: a business rule refused a transaction; no money has moved."""

from collections.abc import Iterable
from datetime import UTC, datetime

from daemons.contracts.events.contract import ANN, AccountEvent, EventContract, FailureView, KindText, Party
from daemons.contracts.names import EventType
from daemons.contracts.wire import MoneyView, UuidText


class TransactionFailed(AccountEvent):
    """An attempt was refused by a business rule; nothing has moved."""

    transaction_id: UuidText
    kind: KindText
    description: str | None
    amount: MoneyView
    sender: Party
    receiver: Party
    reference: str | None
    failure: FailureView

    def parties(self) -> Iterable[Party]:
        """Return sender and receiver."""
        return self.sender, self.receiver

    def moved(self) -> MoneyView:
        """Return the amount that was asked for."""
        return self.amount


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
