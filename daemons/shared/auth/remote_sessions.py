"""How the other daemons learn from user_api who stands behind a session or an API key, and when it ends.

A daemon asks one question at a time: whose access has changed since the last answer, and who stands behind
the credentials that it does not know. Those named as changed are forgotten. So an answer renews what is
known of everybody else, and knowledge without a recent answer counts for nothing (docs/adr/0025).
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from itertools import islice
from uuid import UUID

import httpx
import structlog
from pydantic import ValidationError

from daemons.contracts.errors import BankError, TransientError
from daemons.contracts.internal import MOST_VERIFIED, VerifiedCaller, VerifiedCallers, VerifyCallers
from daemons.shared.auth.api_keys import api_key_digest
from daemons.shared.auth.callers import Caller
from daemons.shared.auth.payment_confirmations import (
    ConfirmationVerifier,
    Confirmed,
    confirmation_verifier,
)
from daemons.shared.auth.service_tokens import ServiceTokenSigner
from daemons.shared.auth.session_tokens import (
    SessionClaims,
    SessionVerifier,
    not_signed_in,
    session_ended,
    verifier_from_jwks,
)
from daemons.shared.clock import Clock, utc_now

USER_API = "user_api"
FRESH_SECONDS = 3.0
"""How long an answer of user_api is believed: an ended session is refused here at most this much later."""
ASKED_EVERY_SECONDS = 1.0
"""When the last answer is as old as this, the next caller that it lets in triggers a new question."""
RENEWED_SECONDS = 30.0
"""After so long a session in use is asked about again, so that user_api knows that it is in use."""
REMEMBERED_SECONDS = 600.0
"""After so long without being asked about, a session is forgotten: as long as its access token lives."""
KEYS_FRESH_SECONDS = 60.0
"""How long published keys are believed: one that user_api has withdrawn verifies nothing after this."""
_KEYS_PAUSE_SECONDS = 1.0
_REMEMBERED = 50_000
_log = structlog.get_logger()

Credential = UUID | str
"""A session's id, or the digest of an API key."""


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    ends_at_epoch_seconds: float
    asked_at: float


class RemoteSessions:
    """Authenticates callers: a token's signature here, the life of sessions and API keys at user_api."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        audience: str,
        service_tokens: ServiceTokenSigner,
        monotonic: Callable[[], float] = time.monotonic,
        clock: Clock = utc_now,
    ) -> None:
        self._client = client
        self._audience = audience
        self._service_tokens = service_tokens
        self._monotonic = monotonic
        self._clock = clock
        self._refused = False

        self._verifier = SessionVerifier(audience, {})
        self._confirmations = ConfirmationVerifier({})
        self._key_set: object = None
        self._keys_fetched_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        self._claims: dict[str, SessionClaims] = {}

        self._known: dict[Credential, _Known] = {}
        self._credentials_of: defaultdict[UUID, set[Credential]] = defaultdict(set)
        self._position: int | None = None
        self._heard_at = self._asked_at = float("-inf")
        self._wanted: dict[Credential, None] = {}
        self._answers: dict[Credential, asyncio.Future[Caller | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def authenticate(self, token: str) -> Caller:
        """Return the caller; see `Authenticator`."""
        claims = self._claims.get(token)
        if claims is None or self._monotonic() >= self._keys_fetched_at + KEYS_FRESH_SECONDS:
            claims = await self._verify(token)
        epoch_seconds = self._clock().timestamp()
        if claims.expires_at_epoch_seconds <= epoch_seconds:
            raise session_ended()
        caller = self._known_caller(claims.session_id, epoch_seconds)
        if caller is None:
            caller = await self._asked_caller(claims.session_id)
        if caller is None:
            raise session_ended()
        if caller.user_id != claims.user_id:
            raise not_signed_in()
        return caller

    async def authenticate_key(self, key: str) -> Caller:
        """Return the caller; see `Authenticator`."""
        return await self._key_caller(api_key_digest(key))

    async def renew(self, caller: Caller) -> Caller:
        """Return the caller as they are now; see `Authenticator`."""
        if caller.key_digest is not None:
            return await self._key_caller(caller.key_digest)
        renewed = await self._caller_of(caller.session_id)
        if renewed is None:
            raise session_ended()
        return renewed

    async def confirmed(self, token: str) -> Confirmed:
        """Return what user_api says that somebody has confirmed; it is asked for its keys at most.

        Raises:
            InvalidTokenError: it does not say so.
            TransientError: `unavailable`; unknown at the moment.
        """
        await self._ensure_keys(lambda: self._confirmations.knows(token))
        return self._confirmations.verify(token)

    async def _key_caller(self, digest: str) -> Caller:
        caller = await self._caller_of(digest)
        if caller is None:
            raise not_signed_in()
        return caller

    async def _caller_of(self, credential: Credential) -> Caller | None:
        """Return who stands behind the credential; None if it is none, or one no more."""
        caller = self._known_caller(credential, self._clock().timestamp())
        return caller or await self._asked_caller(credential)

    def _known_caller(self, credential: Credential, epoch_seconds: float) -> Caller | None:
        known = self._known.get(credential)
        if known is None:
            return None
        now = self._monotonic()
        if (
            now >= self._heard_at + FRESH_SECONDS
            or now >= known.asked_at + REMEMBERED_SECONDS
            or epoch_seconds >= known.ends_at_epoch_seconds
        ):
            return None
        if now >= known.asked_at + RENEWED_SECONDS:
            self._wanted[credential] = None
        if now >= self._asked_at + ASKED_EVERY_SECONDS:
            self._ask()
        return known.caller

    async def _asked_caller(self, credential: Credential) -> Caller | None:
        answer = self._answers.get(credential)
        if answer is None:
            answer = self._answers[credential] = asyncio.get_running_loop().create_future()
            self._wanted[credential] = None
            self._ask()
        # One that joins a question under way gets an answer as old as the question (FRESH_SECONDS).
        return await asyncio.shield(answer)

    def _ask(self) -> None:
        if self._asking is None:
            self._asking = asyncio.create_task(self._put_questions(), name="verify-callers")
            self._asking.add_done_callback(self._asked)

    def _asked(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        if not task.cancelled() and task.exception() is not None:
            _log.error("callers cannot be verified", exc_info=task.exception())
            if self._answers:
                self._ask()

    async def _put_questions(self) -> None:
        """Put the next question, and further ones while somebody waits for an answer."""
        while True:
            asked = list(islice(self._wanted, MOST_VERIFIED))
            for credential in asked:
                del self._wanted[credential]
            # Counted from the question: a slow answer is as old as what it says.
            self._asked_at = asked_at = self._monotonic()
            try:
                answer = await self._verify_callers(asked)
            except BankError as fault:
                self._tell(asked, fault)
            except BaseException:
                self._tell(asked, _cannot_be_checked())
                raise
            else:
                self._learn(asked, answer, asked_at)
                self._tell(asked)
                if asked_at >= self._keys_fetched_at + KEYS_FRESH_SECONDS / 2:
                    # Before anybody has to wait for them.
                    self._fetching_keys()
            if not self._answers:
                return

    async def _verify_callers(self, asked: list[Credential]) -> VerifiedCallers:
        question = VerifyCallers(
            after=self._position,
            session_ids=[str(one) for one in asked if isinstance(one, UUID)],
            key_digests=[one for one in asked if isinstance(one, str)],
        )
        answer = await self._call("POST", "/internal/callers/verify", question.model_dump_json())
        try:
            return VerifiedCallers.model_validate_json(answer)
        except ValidationError as error:
            _log.error("the answer of user_api is not understood", faults=error.error_count())
            raise _cannot_be_checked() from None

    def _learn(self, asked: list[Credential], answer: VerifiedCallers, asked_at: float) -> None:
        if answer.changed_users is None:
            self._known.clear()
            self._credentials_of.clear()
        else:
            for user_id in answer.changed_users:
                for credential in self._credentials_of.pop(UUID(user_id), ()):
                    del self._known[credential]
        for credential in asked:
            self._forget(credential)
        for verified in answer.callers:
            credential = verified.key_digest or UUID(verified.credential_id)
            caller = _caller(verified)
            self._known[credential] = _Known(caller, verified.ends_at.timestamp(), asked_at)
            self._credentials_of[caller.user_id].add(credential)
        # The first are those that were asked about the longest time ago.
        while self._known:
            oldest, known = next(iter(self._known.items()))
            if len(self._known) <= _REMEMBERED and known.asked_at + REMEMBERED_SECONDS > asked_at:
                break
            self._forget(oldest)
        self._position, self._heard_at = answer.position, asked_at

    def _forget(self, credential: Credential) -> None:
        known = self._known.pop(credential, None)
        if known is not None:
            others = self._credentials_of[known.caller.user_id]
            others.discard(credential)
            if not others:
                del self._credentials_of[known.caller.user_id]

    def _tell(self, asked: list[Credential], fault: BankError | None = None) -> None:
        for credential in asked:
            answer = self._answers.pop(credential, None)
            if answer is None:
                continue
            if fault is not None:
                answer.set_exception(fault)
            else:
                known = self._known.get(credential)
                answer.set_result(None if known is None else known.caller)

    async def _verify(self, token: str) -> SessionClaims:
        await self._ensure_keys(lambda: self._verifier.knows(token))
        claims = self._claims.get(token)
        if claims is None:
            claims = self._verifier.verify(token)
            self._remember(token, claims)
        return claims

    async def _ensure_keys(self, is_known: Callable[[], bool]) -> None:
        """Fetch the published keys if they are no longer believed, or a token names one that is not known."""
        age_seconds = self._monotonic() - self._keys_fetched_at
        # Tokens that name invented keys must not become a flood of questions.
        unknown = age_seconds >= _KEYS_PAUSE_SECONDS and not is_known()
        if unknown or age_seconds >= KEYS_FRESH_SECONDS:
            await asyncio.shield(self._fetching_keys())

    def _remember(self, token: str, claims: SessionClaims) -> None:
        # Tokens all live equally long, so the first are those that expire first.
        now = self._clock().timestamp()
        while self._claims:
            oldest = next(iter(self._claims))
            if len(self._claims) < _REMEMBERED and self._claims[oldest].expires_at_epoch_seconds > now:
                break
            del self._claims[oldest]
        self._claims[token] = claims

    def _fetching_keys(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch_keys(), name="fetch-keys")
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    async def _fetch_keys(self) -> None:
        asked_at = self._monotonic()
        answer = await self._call("GET", "/internal/keys")
        key_set = httpx.Response(200, content=answer).json()
        if key_set != self._key_set:
            # What a key has verified that is withdrawn is verified no more.
            self._claims.clear()
            self._verifier = verifier_from_jwks(self._audience, key_set["keys"], clock=self._clock)
            self._confirmations = confirmation_verifier(key_set["confirmation_keys"], clock=self._clock)
            self._key_set = key_set
        self._keys_fetched_at = asked_at

    def _fetched(self, task: asyncio.Task[None]) -> None:
        self._fetching = None
        if not task.cancelled():
            # If nobody waited, the fault is not logged: the next caller that needs the keys tries again.
            task.exception()

    async def _call(self, method: str, path: str, body: str | None = None) -> bytes:
        headers = {"Content-Type": "application/json", **self._service_tokens.header_for(USER_API)}
        try:
            # An answer that takes longer than it would be believed is worth nothing.
            async with asyncio.timeout(FRESH_SECONDS):
                response = await self._client.request(method, path, content=body, headers=headers)
            self._tell_of_refusal(refused=response.status_code == HTTPStatus.UNAUTHORIZED)
            response.raise_for_status()
        except (httpx.HTTPError, TimeoutError):
            raise _cannot_be_checked() from None
        return response.content

    def _tell_of_refusal(self, *, refused: bool) -> None:
        # Once, not at each request: callers learn only that sign-in cannot be checked.
        if refused and not self._refused:
            _log.error("user_api does not know the public key that belongs to this daemon's SERVICE_KEY")
        self._refused = refused


def _caller(verified: VerifiedCaller) -> Caller:
    return Caller(
        user_id=UUID(verified.user_id),
        session_id=UUID(verified.credential_id),
        role=verified.role,
        display_name=verified.display_name,
        scopes=None if verified.scopes is None else frozenset(verified.scopes),
        key_digest=verified.key_digest,
        budget=verified.budget,
    )


def _cannot_be_checked() -> TransientError:
    return TransientError(
        "unavailable", "Sign-in cannot be checked at the moment; try again.", retry_after_seconds=1
    )
