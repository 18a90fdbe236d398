"""What the person asked for besides the command itself: the global options, for the whole process."""

import os
import re
import sys
from dataclasses import dataclass
from enum import StrEnum

from bankctl.errors import usage_error

YES_VARIABLE = "BANKCTL_YES"
# Such as CET-1CEST,M3.5.0,M10.5.0/3: rules that stand for themselves (POSIX).
_POSIX_ZONE = r"(?:<[A-Za-z0-9+-]{3,}>|[A-Za-z]{3,})[+-]?[0-9]{1,3}(?::[0-9]{2}){0,2}.*"
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


class OutputFormat(StrEnum):
    """How results are written to stdout."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


@dataclass(slots=True)
class Invocation:
    """The global options of this run; options after the subcommand win over those before it."""

    profile: str | None = None
    output: OutputFormat = OutputFormat.TABLE
    query: str | None = None
    raw: bool = False
    yes: bool = False
    no_input: bool = False
    quiet: bool = False
    debug: bool = False
    no_color: bool = False
    reason: str | None = None
    """Why staff read what is a customer's; the bank asks for it once per customer and hour."""
    acted: bool = False
    """Whether the bank has done something by now that asking again would do again."""
    not_printed: str | None = None
    """Why a result of what was done could not be printed as asked for."""

    @property
    def machine_readable(self) -> bool:
        """Whether the results are read by a program."""
        return self.output is not OutputFormat.TABLE

    @property
    def interactive(self) -> bool:
        """Whether a question may be asked: a person sits at both ends and did not forbid it."""
        return not self.no_input and sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def consented(self) -> bool:
        """Whether the person has agreed beforehand: by --yes, or by BANKCTL_YES in scripts.

        Raises:
            CliError: BANKCTL_YES is neither a yes nor a no.
        """
        return self.yes or _flag_of_environment(YES_VARIABLE)

    def colored(self, stream: object) -> bool:
        """Whether `stream` gets colour (https://no-color.org, CLICOLOR_FORCE)."""
        if self.no_color or os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("CLICOLOR_FORCE", "0") not in {"", "0"}:
            return True
        return is_terminal(stream) and os.environ.get("TERM") != "dumb"


def is_terminal(stream: object) -> bool:
    """Whether `stream` writes to a terminal."""
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty())


def unknown_zone() -> str | None:
    """What TZ holds if that names no time zone: the system then takes UTC without a word."""
    named = os.environ.get("TZ", "").removeprefix(":")
    if not named or re.fullmatch(_POSIX_ZONE, named):
        return None
    # Slow to load, and only those who set TZ need it.
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    if named.startswith("/"):
        return None if os.path.isfile(named) else named  # noqa: PTH113  # pathlib is not loaded for this
    try:
        ZoneInfo(named)
    except (OSError, ValueError, KeyError):
        return named
    return None


def _flag_of_environment(name: str) -> bool:
    value = os.environ.get(name, "").strip().lower()
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise usage_error(
        f"{name} is {os.environ[name]!r}, which is neither yes nor no",
        hint=f"set {name} to 1 or 0, or unset it",
        code="invalid_environment",
    )


_current = Invocation()


def current() -> Invocation:
    """The options of this run."""
    return _current


def reset() -> Invocation:
    """Start over with the defaults, for another run in the same process."""
    for name in Invocation.__slots__:
        setattr(_current, name, getattr(_DEFAULTS, name))
    return _current


_DEFAULTS = Invocation()
