"""The strict base of every model that crosses a process boundary, and the field types they share."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints

from daemons.contracts.vocabulary import (
    CURRENCY_PATTERN,
    DECIMAL_PATTERN,
    LONGEST_NAME,
    LONGEST_REASON,
    LONGEST_REFERENCE,
    NAME_PATTERN,
    TEXT_PATTERN,
    UUID_PATTERN,
    fault_of_account,
    fault_of_blank,
    fault_of_iban,
)


class WireModel(BaseModel):
    """Refuses unknown fields and silent conversions: `true` is not a number, `1` is not a string."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@lru_cache(maxsize=1024)
def format_instant(instant: datetime) -> str:
    """RFC 3339 in UTC with milliseconds, the one form of a time on the wire.

    All that is committed together has one time, so it is asked for again and again.
    """
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[
    datetime, Field(strict=False), PlainSerializer(format_instant, return_type=str, when_used="json")
]
UuidText = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]
CurrencyCode = Annotated[str, StringConstraints(pattern=CURRENCY_PATTERN), Field(examples=["EUR"])]
DecimalText = Annotated[str, StringConstraints(pattern=DECIMAL_PATTERN), Field(examples=["12.34"])]


def _visible(text: str) -> str:
    if fault := fault_of_blank(text):
        raise ValueError(fault)
    return text


# Every payment has its reference checked, so that is left to the compiled patterns alone.
Reference = Annotated[str, StringConstraints(max_length=LONGEST_REFERENCE, pattern=TEXT_PATTERN)]
Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME, pattern=NAME_PATTERN),
    AfterValidator(_visible),
]
Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_REASON, pattern=TEXT_PATTERN),
    AfterValidator(_visible),
]


def _check_account_number(text: str) -> str:
    if fault := fault_of_account(text):
        raise ValueError(fault)
    return text


AmountText = Annotated[str, Field(max_length=27, examples=["12.34"])]
AccountNumber = Annotated[str, Field(max_length=10), AfterValidator(_check_account_number)]


def _check_iban(text: str) -> str:
    if fault := fault_of_iban(text):
        raise ValueError(fault)
    return text


Iban = Annotated[str, Field(max_length=34, examples=["DE89370400440532013000"]), AfterValidator(_check_iban)]


class ReasonGiven(WireModel):
    """Why it is done; kept in the audit trail."""

    reason: Reason


class MoneyView(WireModel):
    """An amount in major units as a decimal string, with its ISO 4217 code: `12.34` `EUR`."""

    amount: DecimalText
    currency: CurrencyCode
