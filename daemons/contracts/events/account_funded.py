"""AccountFundedPayload: an operator booked money from outside the bank."""

from collections.abc import Iterable
from datetime import UTC, datetime

from daemons.contracts.events.contract import ANN, OLGA, AccountEvent, EventContract, Party
from daemons.contracts.names import EventType
from daemons.contracts.wire import MoneyView, UuidText


class AccountFundedPayload(AccountEvent):
    """Money has come in from outside the bank, booked by an operator."""

    transaction_id: UuidText
    amount: MoneyView
    receiver: Party
    reference: str | None

    def parties(self) -> Iterable[Party]:
        """Return the receiver."""
        return (self.receiver,)

    def moved(self) -> MoneyView:
        """Return the amount."""
        return self.amount


CONTRACT = EventContract(
    event_type=EventType.ACCOUNT_FUNDED,
    version=1,
    model=AccountFundedPayload,
    summary="an operator booked money from outside the bank",
    key="receiver's account",
    example=AccountFundedPayload(
        transaction_id="01890a5d-ac96-774b-bcce-b302099a8001",
        amount=MoneyView(amount="1000.00", currency="EUR"),
        receiver=Party(account_id="4119038413", owner=ANN, sequence=1),
        reference="Cash at the counter",
        initiated_by=OLGA,
        occurred_at=datetime(2026, 11, 30, 9, 15, 2, 125000, tzinfo=UTC),
    ),
)
