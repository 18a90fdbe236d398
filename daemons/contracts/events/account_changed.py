"""AccountChanged: an account was opened, renamed, frozen, unfrozen or closed, or its type changed."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from daemons.contracts.events.contract import (
    ANN,
    OLGA,
    AccountEvent,
    EventContract,
    Party,
    Sequence,
    UserReference,
)
from daemons.contracts.names import AccountStatus, AccountType, EventType
from daemons.contracts.wire import CurrencyCode


class AccountChanged(AccountEvent):
    """An account was opened, renamed, frozen, unfrozen or closed, or its type changed.

    `sequence` is the change's place among the account's entries, 0 for the opening; records from before
    changes were numbered have none.
    """

    account_id: str
    change: Literal["opened", "renamed", "frozen", "unfrozen", "type_changed", "closed"]
    sequence: Sequence | None = None
    type: Annotated[AccountType, Field(strict=False)]
    status: Annotated[AccountStatus, Field(strict=False)]
    currency: CurrencyCode
    owner: UserReference
    reason: str | None

    def parties(self) -> Iterable[Party]:
        """Return the account."""
        return (Party(account_id=self.account_id, owner=self.owner, sequence=self.sequence),)


CONTRACT = EventContract(
    event_type=EventType.ACCOUNT_CHANGED,
    version=1,
    model=AccountChanged,
    summary="an account was opened, renamed, frozen, unfrozen or closed, or its type changed",
    key="account",
    example=AccountChanged(
        account_id="4119038413",
        change="frozen",
        sequence=9,
        type=AccountType.CHECKING,
        status=AccountStatus.FROZEN,
        currency="EUR",
        owner=ANN,
        reason="Card reported stolen",
        initiated_by=OLGA,
        occurred_at=datetime(2026, 11, 30, 9, 15, 2, 125000, tzinfo=UTC),
    ),
)
