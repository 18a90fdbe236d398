"""A funding: an operator books money that has come in from outside the bank."""

from dataclasses import dataclass
from typing import ClassVar

from daemons.banking_api.kinds.money import beyond_balance, not_active, other_currency
from daemons.banking_api.ledger.account import Account, settlement_account
from daemons.banking_api.ledger.record import Accounts, Command, Data, Failure, Move, Ruling


@dataclass(slots=True, kw_only=True)
class Funding(Command):
    """Asks to book an amount in minor units on a customer's account."""

    kind: ClassVar[str] = "funding"
    to_account: str
    amount_minor: int
    currency: str
    reference: str | None

    def content(self) -> str:
        """All fields; a reference that is empty is not one that is absent."""
        reference = "" if self.reference is None else f"={self.reference}"
        return f"{self.to_account}\x00{self.amount_minor}\x00{self.currency}\x00{reference}"

    def accounts(self) -> tuple[str, ...]:
        """The bank's own account of the currency and the customer's."""
        return (settlement_account(self.currency), self.to_account)

    def decide(self, accounts: Accounts) -> Ruling:
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
        return failure or [Move(bank, -self.amount_minor), Move(receiver, self.amount_minor)]

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
