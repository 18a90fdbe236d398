"""One HTTPS connection to the bank's gateway: requests, retries and streams."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from bankctl import __version__, invocation
from bankctl.client.credentials import Credentials
from bankctl.client.failures import (
    AttemptFailedError,
    Certainty,
    earlier_outcome,
    line_failed,
    not_json,
    outcome_unknown,
    refused,
)
from bankctl.client.httpx_alone import load_httpx
from bankctl.client.proxy import NamedProxy, proxy_for
from bankctl.client.tls import timeless_context, tls_context
from bankctl.config import Profile
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.prompts import ask
from bankctl.render import messages
from daemons.contracts.names import (
    FORGERY_HEADER,
    IDEMPOTENCY_KEY_HEADER,
    REASON_HEADER,
    REPLAYED_HEADER,
    REQUEST_ID_HEADER,
    Code,
)

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT_SECONDS = 5.0
ANSWER_TIMEOUT_SECONDS = 30.0
ATTEMPTS = 3
_RENEW_BEFORE_SECONDS = 30.0
_WITHOUT_SESSION = frozenset({Code.NOT_SIGNED_IN, Code.SESSION_ENDED})


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer: its status, its JSON (None if empty) and its headers.

    `doubted` if the request was sent before and the line was cut: this may be the outcome of that one.
    """

    status: int
    data: Any
    headers: Mapping[str, str]
    doubted: bool = False

    @property
    def replayed(self) -> bool:
        """Whether this is the outcome of an earlier request with the same key, and not of this one."""
        return self.headers.get(REPLAYED_HEADER) == "true" and not self.doubted


@dataclass(frozen=True, slots=True)
class _Sending:
    """One request as it is sent, once or again."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any = None
    params: Mapping[str, Any] | None = None
    decode: Callable[[bytes], Any] = json.loads
    repeatable: bool = True


class Transport:
    """Sends requests to one profile's gateway with the credentials given; renews them when they run out."""

    def __init__(
        self,
        profile: Profile,
        *,
        credentials: Credentials | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        load_httpx()
        import httpx  # noqa: PLC0415  # slow to load, and help needs no network

        self.profile = profile
        self.credentials = credentials or Credentials()
        self.renew: Callable[[], bool] | None = None
        """Gets other credentials and tells whether there are any; None if these are all there will be."""
        self.email: str | None = None
        """Whose session it is, for hints."""
        self._attempts = attempts
        self._renewing = threading.Lock()
        self._proxy = _proxy(profile.url)
        self._http = httpx.Client(
            base_url=profile.url,
            verify=tls_context(profile),
            timeout=httpx.Timeout(ANSWER_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
            # What the environment says is read and checked here; httpx would also take passwords from .netrc.
            trust_env=False,
            proxy=None if self._proxy is None else self._proxy.url,
            headers={"User-Agent": f"bankctl/{__version__}", FORGERY_HEADER: "bankctl"},
        )

    def forget_credentials(self) -> None:
        """Send what follows as nobody."""
        self.credentials, self.renew = Credentials(), None

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        repeatable: bool | None = None,
        acts: bool | None = None,
        decode: Callable[[bytes], Any] = json.loads,
    ) -> Answer:
        """Send one request, again with the same key if the line is cut, and return the answer.

        Args:
            method: GET, POST, PATCH or DELETE.
            path: below the gateway's origin, beginning with a slash.
            body: sent as JSON unless None; bytes are JSON already.
            params: query parameters; those that are None are left out.
            headers: of this request, beside those that all have.
            idempotency_key: makes a request that moves money safe to repeat.
            repeatable: whether doing it twice is as good as once; by default GETs and requests with a key.
            acts: whether it changes anything at the bank; by default all but GETs.
            decode: reads the JSON of the answer; ValueError if it is not JSON.

        Raises:
            CliError: with OUTCOME_UNKNOWN if it may have been done, UNREACHABLE if it was not done, else as
                the problem's category says.
        """
        if repeatable is None:
            repeatable = method == "GET" or idempotency_key is not None
        sent = {REQUEST_ID_HEADER: uuid.uuid4().hex, **(headers or {})}
        if idempotency_key is not None:
            sent[IDEMPOTENCY_KEY_HEADER] = idempotency_key
        sent.update(_reason_given())
        self._renew_in_time()
        used = self.credentials.cookie
        sending = _Sending(method, path, sent, body, params, decode, repeatable)
        try:
            answer = self._send(sending)
        except CliError as error:
            # A request answered with `sign in`, or with `say why`, was not carried out: repeating it is safe.
            if not self._answered(error, used):
                raise
            sent.update(_reason_given())
            answer = self._send(sending)
        if method != "GET" if acts is None else acts:
            invocation.current().acted = True
        return answer

    def exchange(self, refresh_header: Mapping[str, str]) -> Answer:
        """Exchange the refresh cookie for new cookies, which `credentials` then holds.

        Raises:
            CliError: NOT_LOGGED_IN if the session has ended, else as for `request`.
        """
        headers = {REQUEST_ID_HEADER: uuid.uuid4().hex, **refresh_header}
        return self._send(_Sending("POST", "/auth/refresh", headers))

    def _send(self, sending: _Sending) -> Answer:
        failures: list[AttemptFailedError] = []
        try:
            answer = self._send_until_answered(sending, failures)
        except AttemptFailedError as failure:
            doubted = any(earlier.certainty is Certainty.UNCERTAIN for earlier in (*failures, failure))
            settled = (
                failure.certainty is Certainty.FINAL or failure.error.exit_status is ExitStatus.UNEXPECTED
            )
            if sending.method != "GET" and doubted and not settled:
                raise outcome_unknown(failure.error) from failure
            raise (
                earlier_outcome(failure.error) if failure.replayed and not doubted else failure.error
            ) from (failure)
        doubted = any(earlier.certainty is Certainty.UNCERTAIN for earlier in failures)
        return replace(answer, doubted=True) if doubted else answer

    def _send_until_answered(self, sending: _Sending, failures: list[AttemptFailedError]) -> Answer:
        """Send once, and again while the failure allows it; those that do are noted in `failures`.

        Raises:
            AttemptFailedError: how the last attempt ended.
        """
        try:
            return self._send_once(sending)
        except AttemptFailedError as failure:
            if not failure.retryable:
                raise
            first = failure
        import stamina  # noqa: PLC0415  # slow to load, and few requests are sent again

        stamina.instrumentation.set_on_retry_hooks([])
        attempts = stamina.retry_context(
            on=_retry_policy(failures, repeatable=sending.repeatable),
            attempts=self._attempts,
            timeout=None,
            wait_initial=0.2,
            wait_max=2.0,
            wait_jitter=0.2,
        )
        for attempt in attempts:
            with attempt:
                if attempt.num == 1:
                    raise first
                return self._send_once(sending)
        raise AssertionError("stamina yields an attempt or raises")

    @contextmanager
    def stream(
        self,
        path: str,
        *,
        params: Mapping[str, Any],
        headers: Mapping[str, str],
        idle_seconds: float,
        body: object = None,
    ) -> Iterator["httpx.Response"]:
        """Ask for an answer that comes in pieces, each at most `idle_seconds` after the one before.

        It is a GET, or with a body a POST.

        Raises:
            CliError: the bank refuses it, or cannot be reached, or the line was cut while reading.
        """
        import httpx  # noqa: PLC0415  # loaded already by the constructor

        request_id = uuid.uuid4().hex
        self._renew_in_time()
        used = self.credentials.cookie
        try:
            for last in (False, True):
                with self._http.stream(
                    "GET" if body is None else "POST",
                    path,
                    params=_present(params),
                    json=body,
                    headers={
                        REQUEST_ID_HEADER: request_id,
                        **self.credentials.header(),
                        **_reason_given(),
                        **headers,
                    },
                    timeout=httpx.Timeout(CONNECT_TIMEOUT_SECONDS, read=idle_seconds),
                ) as response:
                    if response.is_success:
                        yield response
                        return
                    response.read()
                    error = refused(response, email=self.email).error
                if last or not self._answered(error, used):
                    raise error
        except httpx.TransportError as error:
            raise self._line_failed(error, request_id).error from error

    def _answered(self, error: CliError, used: str | None) -> bool:
        """Tell whether there is now what a refusal asked for: a session that was renewed, or a reason."""
        if error.code == Code.REASON_REQUIRED and invocation.current().interactive:
            reason = ask("Why do you read this customer's data", option="--reason")
            invocation.current().reason = reason
            return True
        return error.code in _WITHOUT_SESSION and self._renewed(used)

    def _line_failed(self, error: "httpx.TransportError", request_id: str) -> AttemptFailedError:
        return line_failed(error, self.profile, request_id, proxy=self._proxy, bank_time=self._ask_for_time)

    def _ask_for_time(self) -> str | None:
        """The bank's Date, asked for without credentials, whatever the dates in its certificate."""
        import httpx  # noqa: PLC0415  # loaded already by the constructor

        proxy = None if self._proxy is None else self._proxy.url
        try:
            with httpx.Client(
                verify=timeless_context(self.profile),
                timeout=CONNECT_TIMEOUT_SECONDS,
                trust_env=False,
                proxy=proxy,
            ) as asking:
                date: str | None = asking.head(self.profile.url).headers.get("Date")
        except httpx.HTTPError:
            return None
        return date

    def _renew_in_time(self) -> None:
        if not self.credentials.end_within(_RENEW_BEFORE_SECONDS):
            return
        try:
            self._renewed(self.credentials.cookie)
        except (CliError, OSError) as error:
            # The present ones may still do; if not, the request itself says what is wrong.
            messages.debug(f"the session could not be renewed: {error}")

    def _renewed(self, used: str | None) -> bool:
        """Whether there are other credentials now than those used; of several threads one gets them."""
        with self._renewing:
            if self.credentials.cookie != used:
                return True
            return self.renew is not None and self.renew()

    def _send_once(self, sending: _Sending) -> Answer:
        import httpx  # noqa: PLC0415  # loaded already by the constructor

        started = time.monotonic()
        method, path, body = sending.method, sending.path, sending.body
        request_id = sending.headers[REQUEST_ID_HEADER]
        sent = {**self.credentials.header(), **sending.headers}
        content: dict[str, Any] = {"json": body}
        if isinstance(body, bytes):
            content, sent["Content-Type"] = {"content": body}, "application/json"
        try:
            response = self._http.request(
                method, path, params=_present(sending.params or {}), headers=sent, **content
            )
        except httpx.TransportError as error:
            raise self._line_failed(error, request_id) from error
        except httpx.InvalidURL as error:
            raise usage_error(f"{path!r} is not a path: {error}") from error
        messages.debug(
            f"{method} {path} -> {response.status_code} in {(time.monotonic() - started) * 1000:.0f} ms, "
            f"request {response.headers.get(REQUEST_ID_HEADER, request_id)}"
        )
        # httpx would send its own copies beside ours.
        self._http.cookies.clear()
        self.credentials.take(response.headers.get_list("Set-Cookie"))
        if not response.is_success:
            raise refused(response, email=self.email)
        try:
            data = sending.decode(response.content) if response.content else None
        except ValueError as error:
            raise not_json(response) from error
        return Answer(response.status_code, data, response.headers)


def _retry_policy(
    failures: list[AttemptFailedError], *, repeatable: bool
) -> Callable[[Exception], bool | float]:
    def retry(error: Exception) -> bool | float:
        if not isinstance(error, AttemptFailedError) or not error.retryable:
            return False
        if error.certainty is Certainty.UNCERTAIN and not repeatable:
            return False
        failures.append(error)
        messages.debug(f"may be tried again: {error.error.message}")
        return True if error.after_seconds is None else error.after_seconds

    return retry


def _present(params: Mapping[str, Any]) -> dict[str, Any] | None:
    return {name: value for name, value in params.items() if value is not None} or None


def _proxy(url: str) -> NamedProxy | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    # A proxy cannot reach this machine's own loopback.
    return None if _is_loopback(host) else proxy_for(host, parts.port or 443)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _reason_given() -> dict[str, str]:
    """Why staff read what is a customer's, if they have said so."""
    reason = invocation.current().reason
    return {} if reason is None else {REASON_HEADER: quote(reason)}
