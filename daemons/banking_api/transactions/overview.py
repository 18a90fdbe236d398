"""What staff see who look at the bank as a customer does: their accounts, other parties masked."""

from collections.abc import Iterable

from daemons.banking_api.ledger.account import Account
from daemons.banking_api.money import Money
from daemons.banking_api.transactions.statements import StatementLine
from daemons.contracts.errors import NotFoundError
from daemons.contracts.wire import Instant, MoneyView, UuidText, WireModel
from daemons.shared.audit.masks import initials_of, masked_number


class OverviewedLine(WireModel):
    """A line of a statement without its reference, the other party by initials and the end of the number."""

    transaction_id: UuidText
    at: Instant
    kind: str
    amount: MoneyView
    counterparty: str | None
    failure: str | None


class OverviewedAccount(WireModel):
    """An account of the customer's, and its newest lines."""

    id: str
    type: str
    status: str
    balance: MoneyView
    lines: list[OverviewedLine]

    @classmethod
    def of(cls, account: Account, lines: Iterable[StatementLine]) -> "OverviewedAccount":
        """Mask what the lines say of others."""
        currency = account.terms.currency
        return cls(
            id=account.id,
            type=account.terms.type.value if account.terms.type else "",
            status=account.terms.status.value,
            balance=Money(account.balance_minor, currency).view(),
            lines=[
                OverviewedLine(
                    transaction_id=str(line.record.id),
                    at=line.record.at,
                    kind=line.record.kind,
                    amount=Money(line.amount_minor, line.record.data["currency"]).view(),
                    counterparty=_masked(line),
                    failure=None if line.record.failure is None else line.record.failure.code,
                )
                for line in lines
            ],
        )


class CustomerOverview(WireModel):
    """The customer's newest accounts."""

    items: list[OverviewedAccount]


def user_not_found() -> NotFoundError:
    """The error for what is no user's id."""
    return NotFoundError("user_not_found", "There is no such user.")


def _masked(line: StatementLine) -> str | None:
    if line.counterparty_account is None:
        return None
    number = masked_number(line.counterparty_account)
    return number if line.counterparty_name is None else f"{initials_of(line.counterparty_name)} {number}"
