"""How the other daemons learn from user_api whether a session still lives."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import httpx

from daemons.contracts.errors import TransientError
from daemons.contracts.internal import VerifiedSession, VerifySession
from daemons.contracts.permissions import Role
from daemons.shared.auth.callers import Caller
from daemons.shared.auth.service_tokens import ServiceTokens
from daemons.shared.auth.session_tokens import (
    SessionVerifier,
    not_signed_in,
    session_ended,
    verifier_from_jwks,
)

USER_API = "user_api"
FRESH_SECONDS = 3.0
"""How long an answer of user_api is believed: an ended session is refused here at most this much later."""
_CACHE_LIMIT = 10_000


@dataclass(slots=True)
class _Verified:
    caller: Caller
    expires_at_epoch_seconds: int
    fresh_until: float


class RemoteSessions:
    """Authenticates session tokens: the signature here, the session's life at user_api (shortly cached)."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        audience: str,
        service_tokens: ServiceTokens,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._audience = audience
        self._service_tokens = service_tokens
        self._monotonic = monotonic
        self._verifier = SessionVerifier(audience, {})
        self._verified: dict[str, _Verified] = {}
        self._asking: dict[str, asyncio.Task[Caller]] = {}

    async def authenticate(self, token: str) -> Caller:
        """Return the caller; see `Authenticator`."""
        cached = self._verified.get(token)
        if cached is not None and cached.fresh_until > self._monotonic():
            if cached.expires_at_epoch_seconds <= time.time():
                raise session_ended()
            return cached.caller
        # One question at a time per token: a burst of one user's requests asks user_api once.
        asking = self._asking.get(token)
        if asking is None:
            asking = asyncio.create_task(self._ask(token))
            self._asking[token] = asking
            asking.add_done_callback(lambda _: self._asking.pop(token, None))
        return await asyncio.shield(asking)

    async def _ask(self, token: str) -> Caller:
        self._verified.pop(token, None)
        if not self._verifier.knows(token):
            await self._fetch_keys()
        claims = self._verifier.verify(token)
        body = VerifySession(session_id=str(claims.session_id)).model_dump_json()
        answer = VerifiedSession.model_validate_json(
            await self._call("POST", "/internal/sessions/verify", body)
        )
        if not answer.active or answer.role is None:
            raise session_ended()
        if answer.user_id != str(claims.user_id):
            raise not_signed_in()
        caller = Caller(
            user_id=UUID(answer.user_id),
            session_id=claims.session_id,
            role=Role(answer.role),
            display_name=answer.display_name or "",
        )
        self._remember(token, caller, claims.expires_at_epoch_seconds)
        return caller

    def _remember(self, token: str, caller: Caller, expires_at_epoch_seconds: int) -> None:
        if len(self._verified) >= _CACHE_LIMIT:
            self._verified.clear()
        fresh_until = self._monotonic() + FRESH_SECONDS
        self._verified[token] = _Verified(caller, expires_at_epoch_seconds, fresh_until)

    async def _fetch_keys(self) -> None:
        answer = await self._call("GET", "/internal/keys")
        key_set = httpx.Response(200, content=answer).json()
        self._verifier = verifier_from_jwks(self._audience, key_set)

    async def _call(self, method: str, path: str, body: str | None = None) -> bytes:
        headers = {"Content-Type": "application/json", **self._service_tokens.header_for(USER_API)}
        try:
            response = await self._client.request(method, path, content=body, headers=headers)
            response.raise_for_status()
        except httpx.HTTPError:
            raise TransientError(
                "unavailable", "Sign-in cannot be checked at the moment; try again.", retry_after_seconds=1
            ) from None
        return response.content
