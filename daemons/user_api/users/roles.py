"""Who may do what: giving a user another role."""

from uuid import UUID

import structlog

from daemons.contracts.permissions import Role
from daemons.shared.approvals.approval import Approval, approval_outdated
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.policy import GuardedAct
from daemons.shared.audit.record import Actor
from daemons.user_api.audit_entries import USER, witnessed
from daemons.user_api.parts import Parts, Registry
from daemons.user_api.users.user import User, user_not_found, with_role

_log = structlog.get_logger()


async def change_role(
    registry: Registry,
    user_id: UUID,
    role: Role,
    *,
    actor: Actor,
    reason: str,
    approved: tuple[Approvals, Approval] | None = None,
) -> User:
    """Give the user a role and end their access, so that nothing outlives the role it was begun in.

    Args:
        registry: The users.
        user_id: Whose role it is.
        role: The new role; the present one changes nothing and ends nothing.
        actor: The acting admin, or the server's own shell.
        reason: Why, for the record.
        approved: The request that the actor approves by this, to be marked so in the same transaction.

    Raises:
        NotFoundError: `user_not_found`.
        RejectedError: `self_lockout`.
        ConflictError: `approval_decided`, `approval_withdrawn`, or `approval_outdated`: the user has another
            role than when it was asked for.
        TransientError: `unavailable`.
    """
    testimony = witnessed(registry, actor, "change_role", user_id, reason=reason, approved=approved)
    now = registry.clock()

    def decide(user: User) -> User:
        if approved is not None and approved[1].parameters["role_before"] != user.role.value:
            raise approval_outdated("The user's role")
        return with_role(user, role, actor_id=actor.user_id, at=now)

    async with registry.audit.turn():
        change = await registry.users.change(user_id, decide, alongside=testimony.write)
    testimony.log()
    _log.info(
        "role changed",
        user_id=str(user_id),
        actor_id=str(actor.user_id) if actor.user_id else "shell",
        before=change.before.role.value,
        after=change.after.role.value,
        ended_sessions=change.ended.sessions,
        ended_api_keys=change.ended.api_keys,
        reason=reason,
    )
    return change.after


async def give_role(parts: Parts, user_id: UUID, role: Role, *, actor: Actor, reason: str) -> User | Approval:
    """Give the user a role, or return the request that waits for a second person (docs/adr/0010).

    Every role but that of a user is power over others, so any change of role gives some or takes some.

    Raises:
        NotFoundError, RejectedError, TransientError: as `change_role`.
    """
    if parts.four_eyes.needs_second_person(GuardedAct.CHANGE_ROLE):
        user = await parts.users.find(user_id)
        if user is None:
            raise user_not_found()
        if with_role(user, role, actor_id=actor.user_id, at=parts.clock()) != user:
            return await parts.approvals.request(
                actor,
                GuardedAct.CHANGE_ROLE,
                target=(USER, str(user_id)),
                reason=reason,
                parameters={"role_before": user.role.value, "role": role.value},
            )
    return await change_role(parts, user_id, role, actor=actor, reason=reason)


async def give_approved_role(parts: Parts, approval: Approval, by: Actor) -> None:
    """Carry out a request to give somebody a role, in the second person's name."""
    await change_role(
        parts,
        UUID(approval.target_id),
        Role(approval.parameters["role"]),
        actor=by,
        reason=approval.reason or "",
        approved=(parts.approvals, approval),
    )
