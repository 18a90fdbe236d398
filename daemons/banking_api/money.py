"""Money: an integer of minor units and an ISO 4217 code. Never a float."""

from decimal import Decimal
from functools import cache
from typing import NamedTuple

from iso4217 import Currency

from daemons.contracts.errors import FieldError, InvalidRequestError
from daemons.contracts.vocabulary import AMOUNT, fault_of_amount
from daemons.contracts.wire import MoneyView

LARGEST_MINOR = (1 << 63) - 1
"""The most that one amount or one balance may hold, in minor units: what a signed 64-bit integer holds."""


class Money(NamedTuple):
    """An amount: `Money(1234, "EUR")` is 12.34 euro."""

    minor: int
    currency: str

    def view(self) -> MoneyView:
        """Return the form on the wire, with all of the currency's decimals."""
        return MoneyView(amount=format_minor(self.minor, self.currency), currency=self.currency)


@cache
def exponent_of(currency: str) -> int | None:
    """Return how many decimals the currency has (ISO 4217), or None when it is no currency in use.

    Codes without minor units by their nature (XAU, XDR, XXX) are none that an account can hold.
    """
    try:
        exponent = Currency(currency).exponent
    except ValueError:
        return None
    return None if exponent is None else int(exponent)


def check_currency(currency: str) -> str:
    """Return the code, or refuse it.

    Raises:
        InvalidRequestError: naming the field `currency`.
    """
    if exponent_of(currency) is None:
        raise _no_currency(currency)
    return currency


def parse_money(amount: str, currency: str) -> Money:
    """Read a positive amount; fewer decimals than the currency has are fine, more are not.

    Raises:
        InvalidRequestError: naming the field `amount` or `currency`.
    """
    minor = _parse_minor(amount, currency, field="amount")
    if minor < 1:
        raise _refused("amount", "must be more than zero")
    return Money(minor, currency)


def parse_signed(amount: str, currency: str, *, field: str) -> int:
    """Return the minor units of an amount that may be negative or zero.

    Raises:
        InvalidRequestError: naming the field given, or `currency`.
    """
    size = _parse_minor(amount.removeprefix("-"), currency, field=field)
    return -size if amount.startswith("-") else size


def _parse_minor(amount: str, currency: str, *, field: str) -> int:
    exponent = exponent_of(currency)
    if exponent is None:
        raise _no_currency(currency)
    parts = AMOUNT.fullmatch(amount)
    if parts is None:
        raise _refused(field, fault_of_amount(amount) or "must be a decimal")
    whole, fraction = parts.groups("")
    if len(fraction) > exponent:
        raise _refused(field, f"{currency} has {exponent} decimals, {len(fraction)} were given")
    minor = int(whole + fraction.ljust(exponent, "0"))
    if minor > LARGEST_MINOR:
        raise _refused(field, f"is more than the largest amount, {format_minor(LARGEST_MINOR, currency)}")
    return minor


def whole_minor(amount: Decimal, currency: str) -> int:
    """Return a policy's amount of major units in minor ones; what the currency cannot express is left out."""
    return int(amount.scaleb(exponent_of(currency) or 0))


def format_minor(minor: int, currency: str) -> str:
    """Return the decimal string of a signed amount: `-1234` `EUR` gives `-12.34`."""
    exponent = exponent_of(currency) or 0
    if exponent == 0:
        return str(minor)
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    sign = "-" if minor < 0 else ""
    return f"{sign}{digits[:-exponent]}.{digits[-exponent:]}"


def _no_currency(currency: str) -> InvalidRequestError:
    return _refused("currency", f"{currency} is not an ISO 4217 currency that an account can hold")


def _refused(field: str, message: str) -> InvalidRequestError:
    return InvalidRequestError(
        "invalid_request",
        f"The request is malformed: {field}: {message}.",
        errors=[FieldError(field, message)],
    )
