"""Amounts and account numbers as people type them, checked before anything is sent."""

import re
from functools import lru_cache

from bankctl.errors import usage_error

# No exponent, no sign, no grouping: what is typed is what is paid.
_AMOUNT = re.compile(r"(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,6})?")
_CURRENCY = re.compile(r"[A-Z]{3}")
_ACCOUNT_NUMBER = re.compile(r"[1-9][0-9]{9}")
LONGEST_REFERENCE = 140


def fault_of_amount(text: str) -> str | None:
    """What is wrong with a positive decimal amount such as `12.50`, None if nothing is."""
    if not _AMOUNT.fullmatch(text):
        comma = " (write a point, not a comma)" if "," in text else ""
        return f"{text!r} is no amount such as 12.50{comma}"
    if not text.strip("0."):
        return "the amount must be more than zero"
    return None


@lru_cache(maxsize=1024)
def fault_of_currency(text: str) -> str | None:
    """What is wrong with an ISO 4217 code such as `EUR`, None if its form is right."""
    return None if _CURRENCY.fullmatch(text) else f"{text!r} is no currency code such as EUR"


@lru_cache(maxsize=65_536)
def fault_of_account(text: str) -> str | None:
    """What is wrong with an account number, None if its check digit is right (Damm, 2004)."""
    if not _ACCOUNT_NUMBER.fullmatch(text):
        return f"{text!r} is no account number: it has ten digits and begins with no zero"
    # Slow to load, and only money needs it.
    from stdnum import damm  # noqa: PLC0415

    if not damm.is_valid(text):
        return f"{text!r} is no account number: the check digit is wrong, so one digit is mistyped"
    return None


def fault_of_reference(text: str) -> str | None:
    """What is wrong with a reference, None if nothing is."""
    if len(text) > LONGEST_REFERENCE:
        return f"the reference is longer than {LONGEST_REFERENCE} characters"
    return None if text.isprintable() else "the reference has characters that cannot be printed"


def parse_account(text: str) -> str:
    """The account number in `text`; spaces and hyphens between digits are allowed.

    Raises:
        CliError: it is none.
    """
    number = text.replace(" ", "").replace("-", "")
    if fault := fault_of_account(number):
        raise usage_error(fault, hint="`bankctl accounts list` shows your accounts", code="invalid_account")
    return number


def parse_amount(text: str) -> str:
    """The amount in `text`, as it goes on the wire.

    Raises:
        CliError: it is no positive decimal.
    """
    if fault := fault_of_amount(text):
        raise usage_error(fault, hint="see `bankctl help money`", code="invalid_amount")
    return text


def parse_currency(text: str) -> str:
    """The currency code in `text`, in capitals.

    Raises:
        CliError: it is none.
    """
    code = text.upper()
    if fault := fault_of_currency(code):
        raise usage_error(fault, hint="see `bankctl help money`", code="invalid_currency")
    return code


def parse_reference(text: str) -> str:
    """The reference in `text`.

    Raises:
        CliError: it is too long or not printable.
    """
    if fault := fault_of_reference(text):
        raise usage_error(fault, code="invalid_reference")
    return text
