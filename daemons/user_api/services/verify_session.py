"""Whether a session lives, asked on every request of every daemon."""

from uuid import UUID

from daemons.contracts.permissions import MUST_ENROL, Permission
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


def scopes_of(parts: Parts, user: User) -> frozenset[Permission] | None:
    """Return what bounds the user's sessions: a role that needs a second factor is worth little without."""
    if user.role in parts.second_factor_roles and not user.second_factor:
        return MUST_ENROL
    return None
