"""A funding: an operator books money that has come in from outside the bank."""

from dataclasses import dataclass
from typing import Any, ClassVar

from daemons.banking_api.kinds.kind import MoneyKind, Users
from daemons.banking_api.kinds.money import beyond_balance, not_active, other_currency
from daemons.banking_api.ledger.account import Account, settlement_account, tally
from daemons.banking_api.ledger.record import Accounts, Data, Failure, Move, Record, Ruling
from daemons.contracts.errors import BankError
from daemons.contracts.events import EventType


@dataclass(slots=True, kw_only=True)
class Funding(MoneyKind):
    """Asks to book an amount in minor units on a customer's account."""

    kind: ClassVar[str] = "funding"
    completed: ClassVar[EventType] = EventType.ACCOUNT_FUNDED
    action: ClassVar[str] = "fund"
    to_account: str
    amount_minor: int
    currency: str
    reference: str | None
    alone_limit_minor: int | None = None
    """What the initiator may fund alone within a day; None where that is not bounded."""
    day: str = ""
    """The day (UTC) that counts for that limit."""

    def content(self) -> str:
        """All fields; a reference that is empty is not one that is absent."""
        reference = "" if self.reference is None else f"={self.reference}"
        return f"{self.to_account}\x00{self.amount_minor}\x00{self.currency}\x00{reference}"

    def accounts(self) -> tuple[str, ...]:
        """The bank's own account of the currency, the customer's, and what was funded alone that day."""
        sides = (settlement_account(self.currency), self.to_account)
        return sides if self.alone_limit_minor is None else (*sides, self._alone)

    @property
    def _alone(self) -> str:
        return tally("funded-alone", self.initiator, self.currency, self.day)

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
        if failure is not None:
            return failure
        moves = [Move(bank, -self.amount_minor), Move(receiver, self.amount_minor)]
        if self.alone_limit_minor is not None:
            alone = accounts[self._alone]
            if alone.balance_minor + self.amount_minor > self.alone_limit_minor:
                return beyond_alone_limit()
            moves.append(Move(alone, self.amount_minor))
        return moves

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
        del data["sender"]
        return data


def beyond_alone_limit() -> BankError:
    """The refusal of a funding that needs a second person; nothing of it is kept."""
    return BankError("beyond_alone_limit", "A second person must approve this funding.")
