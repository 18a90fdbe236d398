"""Keeping a user out, and letting them in again."""

from collections.abc import Callable
from uuid import UUID

import structlog

from daemons.user_api.domain.user import User, locked, unlocked
from daemons.user_api.services.parts import Parts

_log = structlog.get_logger()


async def lock_user(parts: Parts, user_id: UUID, *, actor_id: UUID, reason: str) -> User:
    """Lock the user and end all their sessions.

    Raises:
        NotFoundError: `user_not_found`.
        RejectedError: `self_lockout`.
        TransientError: `unavailable`.
    """
    return await _change(
        parts, user_id, lambda user: locked(user, actor_id=actor_id), actor_id=actor_id, reason=reason
    )


async def unlock_user(parts: Parts, user_id: UUID, *, actor_id: UUID, reason: str) -> User:
    """Let the user sign in again.

    Raises:
        NotFoundError: `user_not_found`.
        TransientError: `unavailable`.
    """
    return await _change(parts, user_id, unlocked, actor_id=actor_id, reason=reason)


async def _change(
    parts: Parts, user_id: UUID, decide: Callable[[User], User], *, actor_id: UUID, reason: str
) -> User:
    change = await parts.users.change(user_id, decide)
    _log.info(
        "user locked" if change.after.locked else "user unlocked",
        user_id=str(user_id),
        actor_id=str(actor_id),
        ended_sessions=change.ended_sessions,
        reason=reason,
    )
    return change.after
