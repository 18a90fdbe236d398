"""Who calls user_api itself: the signature by its own key, the life of session and key by its own store."""

from uuid import UUID

from daemons.shared.auth.api_keys import api_key_digest
from daemons.shared.auth.callers import Caller
from daemons.shared.auth.session_tokens import SessionVerifier, not_signed_in, session_ended
from daemons.user_api.api_keys.service import GoodKeys
from daemons.user_api.sessions.service import LivingSessions


class OwnSessions:
    """The authenticator of user_api itself."""

    def __init__(self, sessions: LivingSessions, keys: GoodKeys, verifier: SessionVerifier) -> None:
        self._sessions = sessions
        self._keys = keys
        self._verifier = verifier

    async def authenticate(self, token: str) -> Caller:
        """Return the caller; see `daemons.shared.auth.callers.Authenticator`."""
        claims = self._verifier.verify(token)
        return await self._caller(claims.session_id, claims.user_id)

    async def authenticate_key(self, key: str) -> Caller:
        """Return the caller; see `daemons.shared.auth.callers.Authenticator`."""
        return await self._key_caller(api_key_digest(key))

    async def renew(self, caller: Caller) -> Caller:
        """Return the caller as they are now; see `daemons.shared.auth.callers.Authenticator`."""
        if caller.key_digest is not None:
            return await self._key_caller(caller.key_digest)
        return await self._caller(caller.session_id, caller.user_id)

    async def _key_caller(self, digest: str) -> Caller:
        caller = await self._keys.verify(digest)
        if caller is None:
            raise not_signed_in()
        return caller

    async def _caller(self, session_id: UUID, user_id: UUID) -> Caller:
        found = await self._sessions.verify(session_id)
        if found is None or found[1].id != user_id:
            raise session_ended()
        return self._sessions.caller(*found)
