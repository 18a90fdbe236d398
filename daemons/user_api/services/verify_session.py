"""Whether a session lives, asked on every request of every daemon."""

from uuid import UUID

from daemons.shared.auth.callers import Caller
from daemons.shared.auth.session_tokens import SessionVerifier, session_ended
from daemons.user_api.domain.session import Session
from daemons.user_api.domain.user import User
from daemons.user_api.services.parts import Parts


async def verify_session(parts: Parts, session_id: UUID) -> tuple[Session, User] | None:
    """Return the session and its user if it lives, and keep that it was used; None if it has ended.

    Raises:
        TransientError: `unavailable`; it cannot be told right now.
    """
    found = await parts.sessions.find_with_user(session_id)
    now = parts.clock()
    if found is None:
        return None
    session, user = found
    if user.locked or not session.lives(now, parts.limits):
        return None
    if session.last_use_is_stale(now):
        await parts.sessions.renew_last_use(session, now)
    return session, user


class OwnSessions:
    """The authenticator of user_api itself: signature by its own key, life by its own store."""

    def __init__(self, parts: Parts, verifier: SessionVerifier) -> None:
        self._parts = parts
        self._verifier = verifier

    async def authenticate(self, token: str) -> Caller:
        """Return the caller; see `daemons.shared.auth.callers.Authenticator`."""
        claims = self._verifier.verify(token)
        return await self._caller(claims.session_id, claims.user_id)

    async def renew(self, caller: Caller) -> Caller:
        """Return the caller as they are now; see `daemons.shared.auth.callers.Authenticator`."""
        return await self._caller(caller.session_id, caller.user_id)

    async def _caller(self, session_id: UUID, user_id: UUID) -> Caller:
        found = await verify_session(self._parts, session_id)
        if found is None or found[1].id != user_id:
            raise session_ended()
        session, user = found
        return Caller(user_id=user.id, session_id=session.id, role=user.role, display_name=user.display_name)
