"""The budget of an API key: what it may pay at once, within a day and to whom, decided with the payment.

It travels with the command; what the key has spent on a day is a tally, which the payment's own record
changes. So no second place is asked, and many payments at once exceed nothing.
"""

from typing import NamedTuple

from daemons.banking_api.ledger.account import tally
from daemons.banking_api.ledger.record import Accounts, Failure, Move, Ruling
from daemons.banking_api.money import format_minor


class Budget(NamedTuple):
    """The bounds of a key on a day (UTC), None where it has none; amounts in minor units of the currency."""

    key: str
    day: str
    currency: str | None
    payment_minor: int | None
    day_minor: int | None
    payees: tuple[str, ...] | None

    def tallies(self) -> tuple[str, ...]:
        """Return the state that counts what the key has spent on the day."""
        return () if self.day_minor is None else (self._spent(),)

    def spend(
        self, moves: list[Move], accounts: Accounts, *, amount_minor: int, currency: str, payee: str
    ) -> Ruling:
        """Return the moves of a payment with what counts it, or the refusal, which is kept as any other."""
        if self.payees is not None and payee not in self.payees:
            return Failure("budget_payee", f"This API key may not pay {payee}.")
        if self.currency is not None and currency != self.currency:
            return Failure("budget_currency", f"This API key pays in {self.currency}, not in {currency}.")
        if self.payment_minor is not None and amount_minor > self.payment_minor:
            most = f"{format_minor(self.payment_minor, currency)} {currency}"
            return Failure("budget_payment", f"This API key may pay {most} at once.")
        if self.day_minor is None:
            return moves
        spent = accounts[self._spent()]
        left_minor = self.day_minor - spent.balance_minor
        if amount_minor > left_minor:
            left = f"{format_minor(max(left_minor, 0), currency)} {currency}"
            return Failure("budget_day", f"This API key may pay {left} more on {self.day} (UTC).")
        return [*moves, Move(spent, amount_minor)]

    def _spent(self) -> str:
        return tally("key", self.key, self.day)
