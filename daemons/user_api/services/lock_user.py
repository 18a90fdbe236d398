"""Keeping a user out, and letting them in again."""

from collections.abc import Callable
from uuid import UUID

import structlog

from daemons.shared.audit.record import Actor
from daemons.user_api.domain.user import User, locked, unlocked
from daemons.user_api.services.parts import Parts
from daemons.user_api.services.witness import witnessed

_log = structlog.get_logger()


async def lock_user(parts: Parts, user_id: UUID, *, actor: Actor, reason: str) -> User:
    """Lock the user and end all their sessions.

    Raises:
        NotFoundError: `user_not_found`.
        RejectedError: `self_lockout`.
        TransientError: `unavailable`.
    """
    return await _change(
        parts, "lock", user_id, lambda user: locked(user, actor_id=actor.user_id), actor=actor, reason=reason
    )


async def unlock_user(parts: Parts, user_id: UUID, *, actor: Actor, reason: str) -> User:
    """Let the user sign in again.

    Raises:
        NotFoundError: `user_not_found`.
        TransientError: `unavailable`.
    """
    return await _change(parts, "unlock", user_id, unlocked, actor=actor, reason=reason)


async def _change(
    parts: Parts, act: str, user_id: UUID, decide: Callable[[User], User], *, actor: Actor, reason: str
) -> User:
    testimony = witnessed(parts, actor, act, user_id, reason=reason)
    async with parts.audit.turn():
        change = await parts.users.change(user_id, decide, alongside=testimony.write)
    testimony.log()
    _log.info(
        "user locked" if change.after.locked else "user unlocked",
        user_id=str(user_id),
        actor_id=str(actor.user_id),
        ended_sessions=change.ended_sessions,
        reason=reason,
    )
    return change.after
