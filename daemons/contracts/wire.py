"""The strict base of every model that crosses a process boundary, and the field types they share."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints


class WireModel(BaseModel):
    """Refuses unknown fields and silent conversions: `true` is no number, `1` is no string."""

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
UuidText = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
]
CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
DecimalText = Annotated[str, StringConstraints(pattern=r"^-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,6})?$")]

# Text that people type and read: no control characters, no lone surrogates, no bidirectional overrides.
_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
Reference = Annotated[str, StringConstraints(max_length=140, pattern=_PRINTABLE)]
Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=70, pattern=_PRINTABLE)
]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=280, pattern=_PRINTABLE)
]


class MoneyView(WireModel):
    """An amount in major units as a decimal string, with its ISO 4217 code: `12.34` `EUR`."""

    amount: DecimalText
    currency: CurrencyCode
