"""An opening: a user gets a new account, under a number that nobody can guess from another's."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from daemons.banking_api.kinds.change import ChangeKind, told_terms
from daemons.banking_api.ledger.account import Account, Terms, tally
from daemons.banking_api.ledger.record import Accounts, Data, Move, Ruling
from daemons.contracts.errors import RejectedError, TransientError
from daemons.contracts.names import AccountStatus, AccountType


@dataclass(slots=True, kw_only=True)
class Opening(ChangeKind):
    """Asks for an account of the initiator's under the first of the numbers that is free."""

    kind: ClassVar[str] = "opening"
    change_name: ClassVar[str] = "opened"
    numbers: tuple[str, ...]
    type: AccountType
    currency: str
    name: str | None
    most_per_user: int | None
    opened_at: datetime

    def content(self) -> str:
        """What the user chooses; the number is the bank's choice."""
        name = "" if self.name is None else f"={self.name}"
        return f"{self.type.value}\x00{self.currency}\x00{name}"

    def accounts(self) -> tuple[str, ...]:
        """The numbers, and how many accounts the user has opened."""
        return (*self.numbers, self._opened)

    @property
    def _opened(self) -> str:
        return tally("accounts", self.initiator)

    def decide(self, accounts: Accounts) -> Ruling:
        """Refuse more accounts than one user may have; closed ones count."""
        opened = accounts[self._opened]
        if self.most_per_user is not None and opened.sequence >= self.most_per_user:
            return RejectedError(
                "account_limit_reached",
                f"You have opened {self.most_per_user} accounts, which is as many as one user may have; "
                "closed ones count.",
            )
        number = self._free(accounts)
        if number is None:
            return TransientError("unavailable", "No free account number was found; try again.")
        terms = self._terms()
        # Its opening has the number 0.
        new = Account(number, terms, 0, -1)
        return [Move(new, change=_plain(terms)), Move(opened)]

    def _free(self, accounts: Accounts) -> str | None:
        return next((number for number in self.numbers if number not in accounts), None)

    def data(self, accounts: Accounts) -> Data:
        """The number that it got, and what it is."""
        after = told_terms(self._terms())
        return {"account": self._free(accounts), "reason": None, "before": None, "after": after}

    def _terms(self) -> Terms:
        return Terms(
            owner=self.initiator,
            type=self.type,
            status=AccountStatus.ACTIVE,
            currency=self.currency,
            name=self.name,
            opened_at=self.opened_at,
        )


def _plain(terms: Terms) -> dict[str, object]:
    return {
        **terms._asdict(),
        "type": None if terms.type is None else terms.type.value,
        "status": terms.status.value,
    }
