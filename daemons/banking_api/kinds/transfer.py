"""A transfer: money moves between two customers' accounts, by the order of the sender's owner."""

from dataclasses import dataclass
from typing import ClassVar

from daemons.banking_api.kinds.budget import Budget
from daemons.banking_api.kinds.confirmation import Confirmation
from daemons.banking_api.kinds.kind import MoneyKind
from daemons.banking_api.kinds.money import beyond_balance, not_active, other_currency
from daemons.banking_api.ledger.account import Account
from daemons.banking_api.ledger.record import Accounts, Data, Failure, Move, Ruling
from daemons.contracts.names import EventType


@dataclass(slots=True, kw_only=True)
class Transfer(MoneyKind):
    """Asks to move an amount in minor units from an account of the initiator's to another."""

    kind: ClassVar[str] = "transfer"
    completed: ClassVar[EventType] = EventType.TRANSACTION_COMPLETED
    from_account: str
    to_account: str
    amount_minor: int
    currency: str
    reference: str | None
    confirmation: Confirmation | None = None
    budget: Budget | None = None

    def content(self) -> str:
        """All fields; a reference that is empty is not one that is absent."""
        reference = "" if self.reference is None else f"={self.reference}"
        sides = f"{self.from_account}\x00{self.to_account}"
        return f"{sides}\x00{self.amount_minor}\x00{self.currency}\x00{reference}"

    def accounts(self) -> tuple[str, ...]:
        """Both sides, and what counts the key's spending, and what was paid unconfirmed, if anything does."""
        sides: tuple[str, ...] = (self.from_account, self.to_account)
        if self.budget is not None:
            sides += self.budget.tallies()
        if self.confirmation is not None:
            sides += self.confirmation.tallies(self.initiator, self.currency)
        return sides

    def decide(self, accounts: Accounts) -> Ruling:
        """Judge the sender's account before the receiver's: nobody learns of others' accounts by trying."""
        sender = accounts.get(self.from_account)
        receiver = accounts.get(self.to_account)
        if sender is None or sender.terms.owner != self.initiator:
            return Failure("account_not_found", f"You have no account {self.from_account}.")
        if receiver is sender:
            return Failure("same_account", "Sender and receiver are the same account.")
        if receiver is None or receiver.terms.type is None:
            return Failure("receiver_not_found", f"There is no account {self.to_account}.")
        amount = self.amount_minor
        failure = (
            not_active(sender)
            or not_active(receiver)
            or other_currency(sender, self.currency)
            or other_currency(receiver, self.currency)
            or beyond_balance(sender, receiver, amount)
        )
        if failure is not None:
            return failure
        moves = [Move(sender, -amount), Move(receiver, amount)]
        ruling: Ruling = moves
        if self.budget is not None:
            ruling = self.budget.spend(
                moves, accounts, amount_minor=amount, currency=self.currency, payee=self.to_account
            )
        # Between own accounts nobody is paid.
        if (
            self.confirmation is None
            or receiver.terms.owner == self.initiator
            or not isinstance(ruling, list)
        ):
            return ruling
        return self.confirmation.admit(
            ruling, accounts, initiator=self.initiator, amount_minor=amount, currency=self.currency
        )

    def data(self, accounts: Accounts) -> Data:  # noqa: ARG002 - it says nothing of them
        """What was asked for, and by which confirmation."""
        asked = {
            "from": self.from_account,
            "to": self.to_account,
            "amount": self.amount_minor,
            "currency": self.currency,
            "reference": self.reference,
        }
        return asked if self.confirmation is None else asked | self.confirmation.data()

    def attempted_on(self, accounts: Accounts) -> Account | None:
        """The sender's account if it is the initiator's: nobody else is to know of it."""
        sender = accounts.get(self.from_account)
        return sender if sender is not None and sender.terms.owner == self.initiator else None
