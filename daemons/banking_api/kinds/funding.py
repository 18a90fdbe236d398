"""A funding: an operator books money that has come in from outside the bank."""

from dataclasses import dataclass
from typing import Any, ClassVar

from daemons.banking_api.kinds.kind import Users
from daemons.banking_api.kinds.money import beyond_balance, not_active, other_currency
from daemons.banking_api.kinds.staff import CountedKind
from daemons.banking_api.ledger.account import Account, settlement_account
from daemons.banking_api.ledger.record import Accounts, Data, Failure, Move, Record, Ruling
from daemons.contracts.errors import BankError
from daemons.contracts.names import EventType
from daemons.contracts.wire import AmountText, CurrencyCode, Reference, WireModel
from daemons.shared.approvals.policy import GuardedAct


class FundAccount(WireModel):
    """Money that has come in from outside the bank."""

    amount: AmountText
    currency: CurrencyCode
    reference: Reference | None = None


@dataclass(slots=True, kw_only=True)
class Funding(CountedKind):
    """Asks to book an amount on a customer's account."""

    kind: ClassVar[str] = "funding"
    completed: ClassVar[EventType] = EventType.ACCOUNT_FUNDED
    guard: ClassVar[GuardedAct] = GuardedAct.FUND
    to_account: str
    reference: str | None

    def content(self) -> str:
        """All fields; a reference that is empty is not one that is absent."""
        reference = "" if self.reference is None else f"={self.reference}"
        return f"{self.to_account}\x00{self.amount_minor}\x00{self.currency}\x00{reference}"

    def accounts(self) -> tuple[str, ...]:
        """The bank's own account of the currency, the customer's, and what was funded alone that day."""
        return (settlement_account(self.currency), self.to_account, *self.tallies())

    def customers(self) -> tuple[str, ...]:
        """The account that gets the money."""
        return (self.to_account,)

    def stated(self) -> str | None:
        """The reference."""
        return self.reference

    def rule(self, accounts: Accounts) -> Ruling:
        """Refuse an account that is not there, not active, or kept in another currency."""
        bank = accounts[settlement_account(self.currency)]
        receiver = accounts.get(self.to_account)
        if receiver is None or receiver.terms.type is None:
            return Failure("account_not_found", f"There is no account {self.to_account}.")
        failure = (
            not_active(receiver)
            or other_currency(receiver, self.currency)
            or beyond_balance(bank, receiver, self.amount_minor)
        )
        if failure is not None:
            return failure
        counted = self.count(accounts)
        if isinstance(counted, BankError):
            return counted
        return [Move(bank, -self.amount_minor), Move(receiver, self.amount_minor), *counted]

    def data(self, accounts: Accounts) -> Data:  # noqa: ARG002 - it says nothing of them
        """What was asked for."""
        return {
            "from": settlement_account(self.currency),
            "to": self.to_account,
            "amount": self.amount_minor,
            "currency": self.currency,
            "reference": self.reference,
        }

    def attempted_on(self, accounts: Accounts) -> Account | None:
        """The customer's account: what staff tried to book shows there."""
        return accounts.get(self.to_account)

    @classmethod
    def event_data(cls, record: Record, data: dict[str, Any], users: Users) -> dict[str, Any]:  # noqa: ARG003
        """Without a sender: it is the bank's own account."""
        return {name: value for name, value in data.items() if name not in {"kind", "description", "sender"}}
