"""What may be concluded when an attempt to send a request fails.

A request that was cut may have been carried out. So each failure says whether this attempt certainly did
nothing, whether nobody knows, or whether it is the bank's final word on the request.
"""

import json
import shlex
import ssl
from collections.abc import Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from bankctl.client.problems import error_from_problem, parse_problem
from bankctl.errors import CliError, ExitStatus

if TYPE_CHECKING:
    import httpx

    from bankctl.config import Profile

REPLAYED_HEADER = "Idempotent-Replayed"
EARLIER_OUTCOME = "this is the outcome of an earlier request with the same idempotency key"
TO_TRY_ANEW = "to try anew, run the command with another --idempotency-key, or with none"

# Longer waits than this are the person's decision.
LONGEST_RETRY_AFTER_SECONDS = 5.0
# The body of a payment, not that of a file of payments.
_LARGEST_BODY_READ = 4096
_GATEWAY_LOST_UPSTREAM = frozenset({502, 504})
_UNAVAILABLE = frozenset({429, 503})
_FINAL_CATEGORIES = frozenset({"invalid", "not_found", "conflict", "rejected"})


class Certainty(Enum):
    """What an attempt that failed did at the bank."""

    NOT_DONE = auto()
    UNCERTAIN = auto()
    FINAL = auto()


class AttemptFailedError(Exception):
    """One attempt failed; `after_seconds` is the wait that the bank asked for.

    `replayed` if that is how an earlier request with the same idempotency key had ended.
    """

    def __init__(
        self,
        error: CliError,
        certainty: Certainty,
        *,
        retryable: bool,
        after_seconds: float | None = None,
        replayed: bool = False,
    ) -> None:
        super().__init__(error.message)
        self.error = error
        self.certainty = certainty
        self.retryable = retryable
        self.after_seconds = after_seconds
        self.replayed = replayed


def refused(response: "httpx.Response", *, email: str | None = None) -> AttemptFailedError:
    """The failure that an answer with an error status stands for; its body must have been read."""
    problem = parse_problem(response.status_code, response.content)
    sent_id = response.request.headers.get("X-Request-Id")
    error = error_from_problem(
        problem,
        response.headers.get("X-Request-Id", sent_id),
        values=_values_at_hand(response.request, email),
    )
    category, after_seconds = problem.get("category"), _wait_asked_for(problem, response)
    # The first copy of this very request is still at work: its outcome is not known yet.
    in_use = problem.get("code") == "idempotency_key_in_use"
    if (
        in_use
        or category in {"outcome_unknown", "internal"}
        or response.status_code in _GATEWAY_LOST_UPSTREAM
    ):
        certainty = Certainty.UNCERTAIN
    else:
        certainty = Certainty.FINAL if category in _FINAL_CATEGORIES else Certainty.NOT_DONE
    retryable = (
        in_use
        or category == "outcome_unknown"
        or response.status_code in _UNAVAILABLE
        or response.status_code in _GATEWAY_LOST_UPSTREAM
    )
    if after_seconds is not None and after_seconds > LONGEST_RETRY_AFTER_SECONDS:
        retryable = False
    return AttemptFailedError(
        error,
        certainty,
        retryable=retryable,
        after_seconds=after_seconds,
        replayed=response.headers.get(REPLAYED_HEADER) == "true",
    )


def earlier_outcome(error: CliError) -> CliError:
    """The error of a request that was refused earlier, under the same key, and was not tried again now."""
    return CliError(
        error.message,
        exit_status=error.exit_status,
        hint=f"{EARLIER_OUTCOME}; {TO_TRY_ANEW}",
        code=error.code,
        request_id=error.request_id,
        details={**error.details, "replayed": True},
    )


def _values_at_hand(request: "httpx.Request", email: str | None) -> dict[str, str]:
    """What the request was about, for hints: `account`, `id` and `email` as far as it names them."""
    found = {"email": shlex.quote(email)} if email else {}
    match request.url.path.strip("/").split("/"):
        case ["accounts", account, *_]:
            found["account"] = account
        case ["approvals", _, request_id, *_]:
            found["id"] = request_id
    if request.method == "POST" and len(request.content) <= _LARGEST_BODY_READ:
        body = json.loads(request.content or b"null")
        for name, field in (("account", "from_account"), ("email", "email")):
            if isinstance(body, dict) and isinstance(body.get(field), str):
                found[name] = shlex.quote(body[field])
    return found


def _wait_asked_for(problem: Mapping[str, Any], response: "httpx.Response") -> float | None:
    """The wait that the bank asks for; a gateway before it says so in the header alone (RFC 9110 §10.2.3)."""
    after = problem.get("retry_after_seconds")
    if isinstance(after, int | float):
        return float(after)
    header = response.headers.get("Retry-After", "")
    return float(header) if header.isascii() and header.isdigit() else None


def line_failed(error: "httpx.TransportError", profile: "Profile", request_id: str) -> AttemptFailedError:
    """The failure of a line that could not be opened, was cut, or stayed silent for too long."""
    import httpx  # noqa: PLC0415  # slow to load, and only a client that has loaded it comes here

    not_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    if not_sent and _is_untrusted(error):
        return AttemptFailedError(
            CliError(
                f"the certificate of {profile.url} is not trusted, so nothing was sent: {error}",
                exit_status=ExitStatus.UNREACHABLE,
                hint="name the right certificate: `bankctl config set ca_file PATH`; `bankctl doctor`",
                code="tls_untrusted",
            ),
            Certainty.NOT_DONE,
            retryable=False,
        )
    if not_sent:
        message = f"{profile.url} cannot be reached: {error or 'no connection in time'}"
        code = "unreachable"
    elif isinstance(error, httpx.TimeoutException):
        message, code = f"{profile.url} did not answer in time", "timeout"
    else:
        message, code = f"the line to {profile.url} was cut: {error or 'closed'}", "line_cut"
    return AttemptFailedError(
        CliError(
            message,
            exit_status=ExitStatus.UNREACHABLE,
            hint="`bankctl doctor` shows what is wrong; `bankctl dev up` starts the local bank",
            code=code,
            request_id=request_id,
        ),
        Certainty.NOT_DONE if not_sent else Certainty.UNCERTAIN,
        retryable=True,
    )


def not_json(response: "httpx.Response") -> AttemptFailedError:
    """The failure of an answer that says success in a form the bank never uses."""
    return AttemptFailedError(
        CliError(
            "the answer is not JSON; is this really the bank's gateway?",
            exit_status=ExitStatus.UNEXPECTED,
            hint="`bankctl config list` shows where the profile points",
            code="not_json",
            request_id=response.headers.get("X-Request-Id"),
        ),
        Certainty.UNCERTAIN,
        retryable=False,
    )


def outcome_unknown(cause: CliError) -> CliError:
    """The error of a request that may have been carried out."""
    return CliError(
        f"it is not known whether this was done: {cause.message}",
        exit_status=ExitStatus.OUTCOME_UNKNOWN,
        hint=cause.hint,
        code="outcome_unknown",
        request_id=cause.request_id,
        details=cause.details,
    )


def _is_untrusted(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
