"""Times as people write them."""

import re
from datetime import UTC, datetime, timedelta

from bankctl.errors import usage_error

_AGO = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_TIMES = "2026-11-24, or 2026-11-24T09:30Z"


def parse_instant(option: str, text: str | None) -> str | None:
    """A time as the bank writes it, in UTC; None where none is given.

    Raises:
        CliError: it is not a time.
    """
    if text is None:
        return None
    try:
        return written(_instant(text))
    except (ValueError, OverflowError):
        raise usage_error(f"{option}: {text} is not a time", hint=_TIMES) from None


def parse_since(text: str) -> str:
    """A time as the bank writes it, from a length of time before now, such as `2h`, or a time.

    Raises:
        CliError: it is neither.
    """
    try:
        if ago := _AGO.fullmatch(text):
            return written(datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])}))
        return written(_instant(text))
    except (ValueError, OverflowError):
        raise usage_error(f"--since: {text} is not a time", hint=f"2h, 30m, 7d, {_TIMES}") from None


def written(instant: datetime) -> str:
    """An instant as the bank writes it.

    Raises:
        OverflowError: in UTC it is before the first year, or behind the last.
    """
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant(text: str) -> datetime:
    """A time; UTC without a zone."""
    instant = datetime.fromisoformat(text)
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
