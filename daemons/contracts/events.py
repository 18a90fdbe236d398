"""Every event on Kafka: one topic per type, CloudEvents 1.0 in binary mode, JSON data.

Users' names are filled in by the relay when it publishes (docs/adr/0004), so they may be null only when
the user is unknown to user_api. `sequence` is the account's own number of what happened to it: its entries
and its changes take one each, in turn. The key of a record is the account that money leaves, or the
customer's if the other side is the bank's: only the numbers put in order what an account receives
(docs/adr/0023).
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from daemons.contracts.names import AccountStatus, AccountType, Direction, EventType
from daemons.contracts.wire import CurrencyCode, Instant, MoneyView, UuidText, WireModel

_LARGEST_INT64 = 2**63 - 1
KindText = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,39}$"), Field(examples=["transfer"])]
"""The kind of a transaction, as banking_api's table of kinds names it.

It is open: consumers show kinds that they do not know by their `description`, and set no event aside for one.
"""


JOURNAL_EVENT_TYPES = (
    EventType.TRANSACTION_COMPLETED,
    EventType.TRANSACTION_FAILED,
    EventType.ACCOUNT_FUNDED,
    EventType.ACCOUNT_ADJUSTED,
)
"""The types of which each journal transaction has exactly one, under the transaction's own id."""


class UserReference(WireModel):
    """A user, with the name people know them by."""

    user_id: UuidText
    display_name: str | None = None


class Party(WireModel):
    """One side of a transaction. `sequence` is null where the account was not touched."""

    account_id: str
    owner: UserReference | None
    sequence: Annotated[int, Field(ge=0, le=_LARGEST_INT64)] | None


class FailureView(WireModel):
    """Why a business rule refused a transaction: a stable code and a sentence for people."""

    code: str
    detail: str


class TransactionCompleted(WireModel):
    """Money has moved from the sender's to the receiver's account; outside is the bank's settlement account.

    `description` says what kind, parties and reference do not, null if there is nothing to say.
    """

    transaction_id: UuidText
    kind: KindText
    description: str | None
    amount: MoneyView
    sender: Party
    receiver: Party
    reference: str | None
    initiated_by: UserReference
    occurred_at: Instant


class TransactionFailed(WireModel):
    """An attempt was refused by a business rule; nothing has moved."""

    transaction_id: UuidText
    kind: KindText
    description: str | None
    amount: MoneyView
    sender: Party
    receiver: Party
    reference: str | None
    initiated_by: UserReference
    failure: FailureView
    occurred_at: Instant


class AccountFundedPayload(WireModel):
    """Money has come in from outside the bank, booked by an operator."""

    transaction_id: UuidText
    amount: MoneyView
    receiver: Party
    reference: str | None
    initiated_by: UserReference
    occurred_at: Instant


class AccountAdjusted(WireModel):
    """The bank has corrected an account's balance; `initiated_by` asked for it, a second person approved."""

    transaction_id: UuidText
    direction: Annotated[Direction, Field(strict=False)]
    amount: MoneyView
    account: Party
    reason: str
    corrects: UuidText | None
    initiated_by: UserReference
    occurred_at: Instant


class AccountChanged(WireModel):
    """An account was opened, renamed, frozen, unfrozen or closed, or its type changed.

    `sequence` is the change's place among the account's entries, 0 for the opening; records from before
    changes were numbered have none.
    """

    account_id: str
    change: Literal["opened", "renamed", "frozen", "unfrozen", "type_changed", "closed"]
    sequence: Annotated[int, Field(ge=0, le=_LARGEST_INT64)] | None = None
    type: Annotated[AccountType, Field(strict=False)]
    status: Annotated[AccountStatus, Field(strict=False)]
    currency: CurrencyCode
    owner: UserReference
    reason: str | None
    initiated_by: UserReference
    occurred_at: Instant


DATA_MODELS: dict[EventType, type[WireModel]] = {
    EventType.TRANSACTION_COMPLETED: TransactionCompleted,
    EventType.TRANSACTION_FAILED: TransactionFailed,
    EventType.ACCOUNT_FUNDED: AccountFundedPayload,
    EventType.ACCOUNT_ADJUSTED: AccountAdjusted,
    EventType.ACCOUNT_CHANGED: AccountChanged,
}
