"""AccountAdjusted: the bank corrected an account's balance, with a second person."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from daemons.contracts.events.contract import ANN, OLGA, AccountEvent, EventContract, Party
from daemons.contracts.names import Direction, EventType
from daemons.contracts.wire import MoneyView, UuidText


class AccountAdjusted(AccountEvent):
    """The bank has corrected an account's balance; `initiated_by` asked for it, a second person approved."""

    transaction_id: UuidText
    direction: Annotated[Direction, Field(strict=False)]
    amount: MoneyView
    account: Party
    reason: str
    corrects: UuidText | None

    def parties(self) -> Iterable[Party]:
        """Return the account."""
        return (self.account,)

    def moved(self) -> MoneyView:
        """Return the amount."""
        return self.amount


CONTRACT = EventContract(
    event_type=EventType.ACCOUNT_ADJUSTED,
    version=1,
    model=AccountAdjusted,
    summary="the bank corrected an account's balance, with a second person",
    key="account",
    example=AccountAdjusted(
        transaction_id="01890a5d-ac96-774b-bcce-b302099a8001",
        direction=Direction.CREDIT,
        amount=MoneyView(amount="12.00", currency="EUR"),
        account=Party(account_id="4119038413", owner=ANN, sequence=8),
        reason="Fee charged twice",
        corrects="01890a5d-ac96-774b-bcce-b302099a8000",
        initiated_by=OLGA,
        occurred_at=datetime(2026, 11, 30, 9, 15, 2, 125000, tzinfo=UTC),
    ),
)
