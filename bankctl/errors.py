"""What can go wrong for the person at the terminal, and the exit status each kind ends with.

The daemons answer RFC 9457 problems with a `category`; `bankctl.client.problems` rebuilds them as a
`CliError`. `bankctl help exit-codes` prints the table below, so scripts can rely on it.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class ExitStatus(IntEnum):
    """The exit statuses of every command; stable, scripts branch on them."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    NOT_LOGGED_IN = 4
    FORBIDDEN = 5
    REJECTED = 6
    CONFLICT = 7
    UNREACHABLE = 8
    OUTCOME_UNKNOWN = 9
    NOT_PRINTED = 10
    INTERRUPTED = 130
    BROKEN_PIPE = 141


EXIT_STATUS_MEANINGS: Mapping[ExitStatus, str] = {
    ExitStatus.OK: "it worked",
    ExitStatus.UNEXPECTED: "an unexpected error, or a check such as `admin prove` that failed",
    ExitStatus.USAGE: "the command or its input is wrong; nothing was sent or nothing was done",
    ExitStatus.NOT_FOUND: "no such account, transaction or user, or you may not see it",
    ExitStatus.NOT_LOGGED_IN: "nobody is logged in, or the session has ended",
    ExitStatus.FORBIDDEN: "your role may not do this",
    ExitStatus.REJECTED: "the bank refused it: funds, limit, frozen or closed account; no money moved",
    ExitStatus.CONFLICT: "the current state does not allow it, such as freezing a frozen account",
    ExitStatus.UNREACHABLE: "the bank cannot be reached or is overloaded; nothing was done, try again",
    ExitStatus.OUTCOME_UNKNOWN: "it may have happened; `bankctl transactions retry` settles it",
    ExitStatus.NOT_PRINTED: "it was done, but its result could not be printed: stdout is closed or full, or "
    "--query does not fit it; do not pay again",
    ExitStatus.INTERRUPTED: "interrupted with Ctrl-C",
    ExitStatus.BROKEN_PIPE: "the reader of the output closed it (as `head` does), and nothing was changed",
}


class CliError(Exception):
    """An error to show to the person: what happened, and in `hint` the next command to try.

    `code` is stable and machine-readable; `request_id` finds the request in the daemons' logs; `details`
    is printed with `-o json` only.
    """

    def __init__(
        self,
        message: str,
        *,
        exit_status: ExitStatus,
        hint: str | None = None,
        code: str = "error",
        request_id: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.exit_status = exit_status
        self.hint = hint
        self.code = code
        self.request_id = request_id
        self.details = dict(details or {})


def usage_error(message: str, *, hint: str | None = None, code: str = "usage") -> CliError:
    """The error of wrong input; exits 2 before anything is sent."""
    return CliError(message, exit_status=ExitStatus.USAGE, hint=hint, code=code)
