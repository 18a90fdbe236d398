"""What the routes of accounts take and answer; fields not named here are refused."""

from typing import Annotated, Literal

from pydantic import Field

from daemons.contracts.names import AccountStatus, AccountType
from daemons.contracts.wire import CurrencyCode, Instant, MoneyView, Name, Reason, UuidText, WireModel
from daemons.shared.http.pages import PageQuery

TypeName = Annotated[AccountType, Field(strict=False)]
StatusName = Annotated[AccountStatus, Field(strict=False)]


class OpenAccount(WireModel):
    """Opens an account of the caller's."""

    type: TypeName
    currency: CurrencyCode
    name: Name | None = None


class AccountView(WireModel):
    """An account as its owner and the staff see it."""

    id: str
    owner_id: UuidText
    name: str | None
    type: TypeName
    status: StatusName
    balance: MoneyView
    opened_at: Instant
    status_reason: str | None


class AccountPage(WireModel):
    """Accounts, newest first."""

    items: list[AccountView]
    next_cursor: str | None


class AccountQuery(PageQuery):
    """`scope=all` and `owner_id` are for those who may read any account."""

    scope: Literal["own", "all"] = "own"
    status: StatusName | None = None
    owner_id: UuidText | None = None


class BalanceView(WireModel):
    """A balance, with the account's number it is as of: its entries and changes take one each."""

    account_id: str
    balance: MoneyView
    status: StatusName
    sequence: int
    as_of: Instant


class OptionalReason(WireModel):
    """Why an account is closed, if there is anything to say."""

    reason: Reason | None = None


class NewType(WireModel):
    """What an account is to become."""

    type: TypeName


class NewName(WireModel):
    """What the account is to be called; null for no name."""

    name: Name | None
