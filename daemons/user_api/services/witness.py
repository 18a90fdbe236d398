"""What the audit trail is told of users, in the transaction of the act itself."""

from typing import Any
from uuid import UUID

from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.testimony import Testimony
from daemons.shared.audit.record import SHELL, Actor, AuditEntry
from daemons.user_api.domain.user import User
from daemons.user_api.services.parts import Registry

USER = "user"


def witnessed(
    registry: Registry,
    actor: Actor,
    action: str,
    user_id: UUID,
    *,
    reason: str,
    approved: tuple[Approvals, Approval] | None = None,
) -> Testimony[User]:
    """Return the testimony of an act on a user, to be written alongside it."""
    approvals, approval = approved or (None, None)
    return Testimony(
        audit=registry.audit,
        actor=actor,
        action=action,
        target_kind=USER,
        target_id=str(user_id),
        state=_state,
        reason=reason,
        at=registry.clock(),
        approvals=approvals,
        approval=approval,
    )


def creation_of(user: User) -> AuditEntry:
    """Return what the audit is told of a user who was made with a role, which only the shell can."""
    return AuditEntry(
        at=user.created_at,
        actor=SHELL,
        action="create_user",
        target_kind=USER,
        target_id=str(user.id),
        reason=None,
        before=None,
        after=_state(user),
    )


def _state(user: User) -> dict[str, Any]:
    state: dict[str, Any] = {"role": user.role.value, "locked": user.locked}
    return {**state, "second_factor": True} if user.second_factor else state
