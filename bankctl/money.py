"""Amounts and account numbers as people type them, checked before anything is sent."""

from bankctl.errors import usage_error
from daemons.contracts.vocabulary import (
    fault_of_account,
    fault_of_amount,
    fault_of_currency,
    fault_of_iban,
    fault_of_name,
    fault_of_reference,
)


def parse_account(text: str) -> str:
    """The account number in `text`; spaces and hyphens between digits are allowed.

    Raises:
        CliError: it is none.
    """
    number = text.replace(" ", "").replace("-", "")
    if fault := fault_of_account(number):
        raise usage_error(
            f"{text!r} {fault}", hint="`bankctl accounts list` shows your accounts", code="invalid_account"
        )
    return number


def parse_amount(text: str) -> str:
    """The amount in `text`, as it goes on the wire.

    Raises:
        CliError: it is not a positive decimal.
    """
    if fault := fault_of_amount(text):
        raise usage_error(
            f"the amount {text!r} {fault}", hint="see `bankctl help money`", code="invalid_amount"
        )
    return text


def parse_currency(text: str) -> str:
    """The currency code in `text`, in capitals.

    Raises:
        CliError: it is none.
    """
    code = text.upper()
    if fault := fault_of_currency(code):
        raise usage_error(f"{text!r} {fault}", hint="see `bankctl help money`", code="invalid_currency")
    return code


def parse_iban(text: str) -> str:
    """The IBAN in `text`, in capitals; spaces are allowed.

    Raises:
        CliError: it is none.
    """
    iban = "".join(text.split()).upper()
    if fault := fault_of_iban(iban):
        raise usage_error(f"{text!r} {fault}", hint="see `bankctl help money`", code="invalid_iban")
    return iban


def parse_name(text: str) -> str:
    """The name in `text`, without spaces around it.

    Raises:
        CliError: it is empty, too long or has a character that the bank refuses.
    """
    if fault := fault_of_name(text):
        raise usage_error(f"the name {fault}", hint="see `bankctl help money`", code="invalid_name")
    return text.strip()


def parse_reference(text: str) -> str:
    """The reference in `text`.

    Raises:
        CliError: it is too long or has a character that the bank refuses; the first such is named.
    """
    if fault := fault_of_reference(text):
        raise usage_error(f"the reference {fault}", hint="see `bankctl help money`", code="invalid_reference")
    return text
