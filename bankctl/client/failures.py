"""What may be concluded when an attempt to send a request fails.

A request that was cut may have been carried out. So each failure says whether this attempt certainly did
nothing, whether nobody knows, or whether it is the bank's final word on the request.
"""

import json
import shlex
import ssl
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from bankctl.client.problems import error_from_problem, parse_problem
from bankctl.errors import CliError, ExitStatus
from daemons.contracts.errors import Category
from daemons.contracts.names import REPLAYED_HEADER, REQUEST_ID_HEADER, Code

if TYPE_CHECKING:
    import httpx

    from bankctl.client.proxy import NamedProxy
    from bankctl.config import Profile

EARLIER_OUTCOME = "this is the outcome of an earlier request with the same idempotency key"
TO_TRY_ANEW = "to try again, use another --idempotency-key, or none"

# Longer waits than this are the person's decision.
LONGEST_RETRY_AFTER_SECONDS = 5.0
# The body of a payment, not that of a file of payments.
_LARGEST_BODY_READ = 4096
LARGEST_SKEW_SECONDS = 30.0
"""Certificates and cookies do not mind a difference of clocks up to this."""
# Numbers of OpenSSL (X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED).
_OUT_OF_DATE = {9: "not valid yet", 10: "expired"}
_GATEWAY_LOST_UPSTREAM = frozenset({502, 504})
_UNAVAILABLE = frozenset({429, 503})
_FINAL_CATEGORIES = frozenset({Category.INVALID, Category.NOT_FOUND, Category.CONFLICT, Category.REJECTED})


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
    sent_id = response.request.headers.get(REQUEST_ID_HEADER)
    error = error_from_problem(
        problem,
        response.headers.get(REQUEST_ID_HEADER, sent_id),
        values=_values_at_hand(response.request, email),
    )
    category, after_seconds = problem.get("category"), _wait_asked_for(problem, response)
    # The first copy of this very request is still at work: its outcome is not known yet.
    in_use = problem.get("code") == Code.KEY_IN_USE
    if (
        in_use
        or category in {Category.OUTCOME_UNKNOWN, Category.INTERNAL}
        or response.status_code in _GATEWAY_LOST_UPSTREAM
    ):
        certainty = Certainty.UNCERTAIN
    else:
        certainty = Certainty.FINAL if category in _FINAL_CATEGORIES else Certainty.NOT_DONE
    retryable = (
        in_use
        or category == Category.OUTCOME_UNKNOWN
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


def line_failed(
    error: "httpx.TransportError",
    profile: "Profile",
    request_id: str,
    *,
    proxy: "NamedProxy | None" = None,
    bank_time: Callable[[], str | None] = lambda: None,
) -> AttemptFailedError:
    """The failure of a line that could not be opened, was cut, or stayed silent for too long.

    `bank_time` asks the bank what time it is, where a certificate seems to be out of date.
    """
    import httpx  # noqa: PLC0415  # slow to load, and only a client that has loaded it comes here

    # A proxy refuses before it passes anything on.
    unopened = httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.ProxyError
    not_sent = isinstance(error, unopened)
    if not_sent and (untrusted := _untrusted(error)) is not None:
        return AttemptFailedError(
            _not_trusted(untrusted, profile, bank_time), Certainty.NOT_DONE, retryable=False
        )
    hint = "`bankctl doctor` shows what is wrong; `bankctl dev up` starts the local bank"
    if not_sent and proxy is not None:
        why = str(error) or "no answer"
        message = f"the proxy {proxy.shown} of {proxy.variable} refused the connection: {why}"
        code, hint = "proxy_failed", proxy.remedy
    elif not_sent:
        message = f"{profile.url} cannot be reached: {str(error) or 'no connection in time'}"
        code = "unreachable"
    elif isinstance(error, httpx.TimeoutException):
        message, code = f"{profile.url} did not answer in time", "timeout"
    else:
        message, code = f"the connection to {profile.url} was lost: {str(error) or 'closed'}", "line_cut"
    return AttemptFailedError(
        CliError(
            message,
            exit_status=ExitStatus.UNREACHABLE,
            hint=hint,
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
            hint="`bankctl config list` shows the URL of each profile",
            code="not_json",
            request_id=response.headers.get(REQUEST_ID_HEADER),
        ),
        Certainty.UNCERTAIN,
        retryable=False,
    )


def outcome_unknown(cause: CliError) -> CliError:
    """The error of a request that may have been carried out."""
    return CliError(
        f"the outcome is unknown: {cause.message}",
        exit_status=ExitStatus.OUTCOME_UNKNOWN,
        hint=cause.hint,
        code="outcome_unknown",
        request_id=cause.request_id,
        details=cause.details,
    )


def _untrusted(error: BaseException) -> ssl.SSLCertVerificationError | str | None:
    """Why the certificate was refused; None if the failure is another."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return str(error) if "CERTIFICATE_VERIFY_FAILED" in str(error) else None


def _not_trusted(
    why: ssl.SSLCertVerificationError | str, profile: "Profile", bank_time: Callable[[], str | None]
) -> CliError:
    code = None if isinstance(why, str) else why.verify_code
    if code in _OUT_OF_DATE:
        skew = clock_skew(bank_time())
        seems = _OUT_OF_DATE[code]
        if skew is not None and abs(skew) > LARGEST_SKEW_SECONDS:
            return CliError(
                f"this machine's clock is wrong: it is {skew_text(skew)} the bank's, so the certificate of "
                f"{profile.url} seems to be {seems}; nothing was sent",
                exit_status=ExitStatus.UNREACHABLE,
                hint="set this machine's clock (`timedatectl set-ntp true`)",
                code="tls_clock_wrong",
            )
        hint = "ask the bank's operators to renew it"
        return CliError(
            f"the certificate of {profile.url} is {seems}, so nothing was sent",
            exit_status=ExitStatus.UNREACHABLE,
            hint=hint if skew is not None else f"check this machine's clock; otherwise {hint}",
            code="tls_untrusted",
        )
    return CliError(
        f"the certificate of {profile.url} is not trusted, so nothing was sent: {why}",
        exit_status=ExitStatus.UNREACHABLE,
        hint="name the right certificate: `bankctl config set ca_file PATH`; `bankctl doctor`",
        code="tls_untrusted",
    )


def clock_skew(date: str | None) -> float | None:
    """By how many seconds this machine's clock is ahead of an answer's Date; None if that tells nothing."""
    if not date:
        return None
    # Only a doubt about the clock needs it.
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    try:
        stated = parsedate_to_datetime(date)
    except ValueError:
        return None
    return time.time() - stated.timestamp()


def skew_text(seconds: float) -> str:
    """The difference of two clocks as people say it: `3 days ahead of`."""
    size, side = abs(seconds), "ahead of" if seconds > 0 else "behind"
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if size >= 2 * length:
            return f"{size / length:.0f} {unit} {side}"
    return f"{size:.0f} seconds {side}"
