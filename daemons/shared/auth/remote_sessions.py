"""How the other daemons learn from user_api whether a session still lives."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from uuid import UUID

import httpx
import structlog

from daemons.contracts.errors import TransientError
from daemons.contracts.internal import VerifiedApiKey, VerifiedSession, VerifyApiKey, VerifySession
from daemons.shared.auth.api_keys import api_key_digest
from daemons.shared.auth.callers import Caller
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
KEYS_FRESH_SECONDS = 60.0
"""How long published keys are believed: one that user_api has withdrawn verifies nothing after this."""
_KEYS_PAUSE_SECONDS = 1.0
_CACHE_LIMIT = 10_000
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Verified:
    caller: Caller
    expires_at_epoch_seconds: float
    fresh_until: float


class RemoteSessions:
    """Authenticates access tokens: the signature here, the session's life at user_api (shortly cached)."""

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
        self._verifier = SessionVerifier(audience, {})
        self._keys_fetched_at = float("-inf")
        self._refused = False
        self._verified: dict[str, _Verified] = {}
        self._asking: dict[str, asyncio.Task[Caller]] = {}

    async def authenticate(self, token: str) -> Caller:
        """Return the caller; see `Authenticator`."""

        async def ask() -> tuple[Caller, float]:
            claims = await self._verify(token)
            caller = await self._ask_session(claims.session_id)
            if caller.user_id != claims.user_id:
                raise not_signed_in()
            return caller, claims.expires_at_epoch_seconds

        return await self._cached(token, ask)

    async def authenticate_key(self, key: str) -> Caller:
        """Return the caller; see `Authenticator`."""
        return await self._key_caller(api_key_digest(key))

    async def renew(self, caller: Caller) -> Caller:
        """Return the caller as they are now; see `Authenticator`."""
        if caller.key_digest is not None:
            return await self._key_caller(caller.key_digest)

        async def ask() -> tuple[Caller, float]:
            return await self._ask_session(caller.session_id), float("inf")

        return await self._cached(f"session {caller.session_id}", ask)

    async def _key_caller(self, digest: str) -> Caller:
        async def ask() -> tuple[Caller, float]:
            body = VerifyApiKey(digest=digest).model_dump_json()
            answer = VerifiedApiKey.model_validate_json(
                await self._call("POST", "/internal/api-keys/verify", body)
            )
            if not answer.active:
                raise not_signed_in()
            return _caller(answer, UUID(answer.key_id), key_digest=digest), float("inf")

        return await self._cached(f"key {digest}", ask)

    async def _cached(self, credential: str, ask: Callable[[], Awaitable[tuple[Caller, float]]]) -> Caller:
        found = self._verified.get(credential)
        if found is not None and found.fresh_until > self._monotonic():
            if found.expires_at_epoch_seconds <= self._clock().timestamp():
                raise session_ended()
            return found.caller
        # One question at a time per credential: a burst of one user's requests asks user_api once.
        asking = self._asking.get(credential)
        if asking is None:
            asking = asyncio.create_task(self._remember(credential, ask))
            self._asking[credential] = asking
            asking.add_done_callback(lambda _: self._asking.pop(credential, None))
        return await asyncio.shield(asking)

    async def _remember(self, credential: str, ask: Callable[[], Awaitable[tuple[Caller, float]]]) -> Caller:
        self._verified.pop(credential, None)
        # Counted from the question: a slow answer is as old as what it says.
        fresh_until = self._monotonic() + FRESH_SECONDS
        caller, expires_at_epoch_seconds = await ask()
        if len(self._verified) >= _CACHE_LIMIT:
            self._verified.clear()
        self._verified[credential] = _Verified(caller, expires_at_epoch_seconds, fresh_until)
        return caller

    async def _ask_session(self, session_id: UUID) -> Caller:
        body = VerifySession(session_id=str(session_id)).model_dump_json()
        answer = VerifiedSession.model_validate_json(
            await self._call("POST", "/internal/sessions/verify", body)
        )
        if not answer.active:
            raise session_ended()
        return _caller(answer, session_id)

    async def _verify(self, token: str) -> SessionClaims:
        age_seconds = self._monotonic() - self._keys_fetched_at
        # Tokens that name invented keys must not become a flood of questions.
        unknown = age_seconds >= _KEYS_PAUSE_SECONDS and not self._verifier.knows(token)
        if unknown or age_seconds >= KEYS_FRESH_SECONDS:
            await self._fetch_keys()
        return self._verifier.verify(token)

    async def _fetch_keys(self) -> None:
        asked_at = self._monotonic()
        answer = await self._call("GET", "/internal/keys")
        key_set = httpx.Response(200, content=answer).json()
        self._verifier = verifier_from_jwks(self._audience, key_set, clock=self._clock)
        self._keys_fetched_at = asked_at

    async def _call(self, method: str, path: str, body: str | None = None) -> bytes:
        headers = {"Content-Type": "application/json", **self._service_tokens.header_for(USER_API)}
        try:
            response = await self._client.request(method, path, content=body, headers=headers)
            self._tell_of_refusal(refused=response.status_code == HTTPStatus.UNAUTHORIZED)
            response.raise_for_status()
        except httpx.HTTPError:
            raise TransientError(
                "unavailable", "Sign-in cannot be checked at the moment; try again.", retry_after_seconds=1
            ) from None
        return response.content

    def _tell_of_refusal(self, *, refused: bool) -> None:
        # Once, not at each request: callers learn only that sign-in cannot be checked.
        if refused and not self._refused:
            _log.error("user_api does not know the public key that belongs to this daemon's SERVICE_KEY")
        self._refused = refused


def _caller(answer: VerifiedSession, credential_id: UUID, *, key_digest: str | None = None) -> Caller:
    if answer.role is None:
        raise not_signed_in()
    return Caller(
        user_id=UUID(answer.user_id),
        session_id=credential_id,
        role=answer.role,
        display_name=answer.display_name or "",
        scopes=None if answer.scopes is None else frozenset(answer.scopes),
        key_digest=key_digest,
    )
