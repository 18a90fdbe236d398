"""Who may do what: giving a user another role."""

from uuid import UUID

import structlog

from daemons.contracts.permissions import Role
from daemons.user_api.domain.user import User, with_role
from daemons.user_api.services.parts import Registry

_log = structlog.get_logger()


async def change_role(
    registry: Registry, user_id: UUID, role: Role, *, actor_id: UUID | None, reason: str
) -> User:
    """Give the user a role and end their sessions, so that no session outlives the role it was begun in.

    Args:
        registry: The users.
        user_id: Whose role it is.
        role: The new role; the present one changes nothing and ends nothing.
        actor_id: The acting admin; None is the server's own shell.
        reason: Why, for the record.

    Raises:
        NotFoundError: `user_not_found`.
        RejectedError: `self_lockout`.
        TransientError: `unavailable`.
    """
    change = await registry.users.change(user_id, lambda user: with_role(user, role, actor_id=actor_id))
    _log.info(
        "role changed",
        user_id=str(user_id),
        actor_id=str(actor_id) if actor_id else "shell",
        before=change.before.role.value,
        after=change.after.role.value,
        ended_sessions=change.ended_sessions,
        reason=reason,
    )
    return change.after
