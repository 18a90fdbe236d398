"""Times as people write them."""

from datetime import UTC, datetime

from bankctl.errors import usage_error


def parse_instant(option: str, text: str | None) -> str | None:
    """A time as the bank writes it, in UTC; None where none is given.

    Raises:
        CliError: it is not a time.
    """
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
        zoned = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise usage_error(
            f"{option}: {text} is not a time", hint="2026-11-24, or 2026-11-24T09:30Z"
        ) from None
    return zoned.isoformat(timespec="milliseconds").replace("+00:00", "Z")
