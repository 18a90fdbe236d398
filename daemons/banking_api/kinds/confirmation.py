"""Whether a payment is confirmed by the second factor, and how much somebody pays without (docs/adr/0034).

It is decided with the payment: what somebody has paid unconfirmed on a day is a tally, which the payment's
own record changes, so that many small payments at once exceed nothing.
"""

from typing import NamedTuple
from uuid import UUID

from daemons.banking_api.ledger.account import tally
from daemons.banking_api.ledger.record import Accounts, Data, Move, Ruling
from daemons.banking_api.money import format_minor
from daemons.contracts.errors import ForbiddenError
from daemons.contracts.names import Code


class Confirmation(NamedTuple):
    """What the bank knows of the initiator's second factor for a payment; None where it asks for none."""

    id: str | None
    """Of the confirmation; None without one."""
    day: str = ""
    """The day (UTC) that counts."""
    limit_minor: int = 0
    """How much one person may pay unconfirmed on a day in the payment's currency."""
    is_refused: bool = False
    """Whether what was sent as a confirmation is not one of this payment."""

    def tallies(self, initiator: UUID, currency: str) -> tuple[str, ...]:
        """Return the state that counts what the initiator has paid unconfirmed."""
        return () if self.id is not None else (self._unconfirmed(initiator, currency),)

    def admit(
        self, moves: list[Move], accounts: Accounts, *, initiator: UUID, amount_minor: int, currency: str
    ) -> Ruling:
        """Return the moves of a payment with what counts it, or the refusal of what must be confirmed."""
        if self.id is not None:
            return moves
        if self.is_refused:
            return _refused()
        unconfirmed = accounts[self._unconfirmed(initiator, currency)]
        if unconfirmed.balance_minor + amount_minor > self.limit_minor:
            return _required(self.limit_minor, unconfirmed.balance_minor, currency)
        return [*moves, Move(unconfirmed, amount_minor)]

    def data(self) -> Data:
        """Return what the record keeps: by which confirmation it was paid."""
        return {} if self.id is None else {"confirmation": self.id}

    def _unconfirmed(self, initiator: UUID, currency: str) -> str:
        return tally("unconfirmed", initiator, currency, self.day)


def _required(limit_minor: int, paid_minor: int, currency: str) -> ForbiddenError:
    limit = format_minor(limit_minor, currency)
    left = format_minor(max(limit_minor - paid_minor, 0), currency)
    return ForbiddenError(
        Code.PAYMENT_CONFIRMATION_REQUIRED,
        f"Confirm this payment by your second factor: {limit} {currency} a day may be paid without, and "
        f"{left} {currency} of it is left today. Nothing was paid.",
        details={"limit": limit, "left": left, "currency": currency},
    )


def _refused() -> ForbiddenError:
    return ForbiddenError(
        Code.PAYMENT_CONFIRMATION_REFUSED,
        "The confirmation is too old, or of another payment. Confirm this one; nothing was paid.",
    )
