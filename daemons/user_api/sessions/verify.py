"""Whether sessions live: asked on every request here, and by the other daemons for many at a time."""

from dataclasses import replace
from uuid import UUID

from daemons.contracts.permissions import MUST_ENROL, Permission
from daemons.user_api.parts import Parts
from daemons.user_api.sessions.session import Session
from daemons.user_api.users.user import User


async def verify_session(parts: Parts, session_id: UUID) -> tuple[Session, User] | None:
    """Return the session and its user if it lives, and keep that it was used; None if it has ended.

    Raises:
        TransientError: `unavailable`; unknown at the moment.
    """
    found = await parts.sessions.find_with_user(session_id)
    living = await keep_living_sessions(parts, [found] if found else [])
    return living[0] if living else None


async def keep_living_sessions(parts: Parts, found: list[tuple[Session, User]]) -> list[tuple[Session, User]]:
    """Return those sessions that live, as they are now that they were used, and keep that.

    Raises:
        TransientError: `unavailable`.
    """
    now = parts.clock()
    living = [
        (session, user) for session, user in found if not user.locked and session.lives(now, parts.limits)
    ]
    await parts.sessions.renew_last_use((session for session, _ in living), now)
    return [
        (replace(session, last_seen_at=now) if session.last_use_is_stale(now) else session, user)
        for session, user in living
    ]


def scopes_of(parts: Parts, user: User) -> frozenset[Permission] | None:
    """Return what bounds the user's sessions: a role that needs a second factor is worth little without."""
    if user.role in parts.second_factor_roles and not user.second_factor:
        return MUST_ENROL
    return None
