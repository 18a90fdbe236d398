"""Messages for the person, on stderr; results go to stdout (`bankctl.render.output`)."""

import re
import sys
from typing import Any

from bankctl import invocation
from bankctl.errors import CliError
from bankctl.invocation import OutputFormat
from bankctl.render.text import clean, clean_lines, displayable_json, dump_json
from bankctl.streams import holds_unicode

_COMMAND = re.compile(r"`(bankctl [a-z][^`]*)`")
# They speak of all profiles, of this machine, or of no bank at all.
_WITHOUT_PROFILE = frozenset({"config", "dev", "demo", "help", "version", "completion"})
_CODES = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}


def styled(text: str, style: str, stream: Any) -> str:
    """`text` in colour if `stream` gets any."""
    if not invocation.current().colored(stream):
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def _mark() -> str:
    return "✓" if holds_unicode(sys.stderr) else "OK:"


def _write(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def with_profile(text: str) -> str:
    """Hints whose commands are for the profile that this run names, or they would be another person's."""
    profile = invocation.current().profile
    if profile is None:
        return text

    def named(match: re.Match[str]) -> str:
        command = match[1]
        if "--profile" in command or command.split()[1] in _WITHOUT_PROFILE or command.endswith("--help"):
            return match[0]
        return f"`{command} --profile {profile}`"

    return _COMMAND.sub(named, text)


def note(text: object) -> None:
    """Say something that is neither result nor error; `--quiet` silences it."""
    if not invocation.current().quiet:
        _write(with_profile(clean_lines(text)))


def success(text: object) -> None:
    """Say that something was done; `--quiet` silences it."""
    if not invocation.current().quiet:
        _write(f"{styled(_mark(), 'green', sys.stderr)} {with_profile(clean_lines(text))}")


def warn(text: object) -> None:
    """Say what the person should know even with `--quiet`."""
    _write(f"{styled('Warning:', 'yellow', sys.stderr)} {with_profile(clean_lines(text))}")


def debug(text: object) -> None:
    """Say what helps to find a fault; only with `--debug`."""
    if invocation.current().debug:
        _write(styled(clean(text), "dim", sys.stderr))


def show_error(error: CliError) -> None:
    """Say what happened, the next command to try, and the request id: JSON if the results are JSON."""
    if invocation.current().output in {OutputFormat.JSON, OutputFormat.JSONL}:
        _write(displayable_json(dump_json(error_document(error)), sys.stderr))
        return
    _write(f"{styled('Error:', 'red', sys.stderr)} {clean_lines(error.message)}")
    for field in error.details.get("errors", []):
        # A single fault often stands in the message already.
        if clean(field.get("message", "")) not in clean(error.message):
            _write(f"  {clean(field.get('field', ''))}: {clean(field.get('message', ''))}")
    if error.hint:
        _write(f"  {styled('Next:', 'bold', sys.stderr)} {with_profile(clean_lines(error.hint))}")
    if error.request_id:
        _write(styled(f"  Request: {clean(error.request_id)}", "dim", sys.stderr))


def error_document(error: CliError) -> dict[str, Any]:
    """The error as an RFC 9457 problem, with the exit status in place of the HTTP status."""
    document: dict[str, Any] = {
        "type": f"urn:bankctl:problem:{error.code}",
        "title": error.code.replace("_", " "),
        "detail": error.message,
        "code": error.code,
        "exit_status": int(error.exit_status),
    }
    if error.hint:
        document["hint"] = with_profile(error.hint)
    if error.request_id:
        document["request_id"] = error.request_id
    if error.details:
        document["details"] = error.details
    return document
