"""Audit records of users, for the transaction of the act itself."""

from enum import StrEnum
from typing import Any
from uuid import UUID

from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.testimony import Testimony
from daemons.shared.audit.record import SHELL, Actor, AuditEntry, Origin
from daemons.shared.auth.callers import Caller
from daemons.user_api.parts import Registry
from daemons.user_api.sessions.session import Session
from daemons.user_api.users.user import User

USER = "user"


class SecurityEvent(StrEnum):
    """What is recorded besides administrative acts: all of it concerns one user's access (docs/adr/0012)."""

    REGISTER = "register"
    REGISTER_REFUSED = "register.refused"
    SIGN_IN = "sign_in"
    SIGN_IN_REFUSED = "sign_in.refused"
    CONFIRMATION_REFUSED = "confirmation.refused"
    SIGN_OUT = "sign_out"
    END_SESSION = "end_session"
    END_ALL_SESSIONS = "end_all_sessions"
    REFRESH_TOKEN_REUSED = "refresh_token.reused"  # noqa: S105 - the name of an event
    CHANGE_PASSWORD = "change_password"  # noqa: S105 - the name of an event
    BEGIN_SECOND_FACTOR = "begin_second_factor"
    CONFIRM_SECOND_FACTOR = "confirm_second_factor"
    REMOVE_SECOND_FACTOR = "remove_second_factor"
    USE_RECOVERY_CODE = "use_recovery_code"
    CREATE_API_KEY = "create_api_key"
    REVOKE_API_KEY = "revoke_api_key"


def person(user: User, origin: Origin) -> Actor:
    """Return the user as the one who acts."""
    return _actor(user.id, user.display_name, user.role.value, origin)


def acting(caller: Caller, origin: Origin) -> Actor:
    """Return the caller as the one who acts."""
    return _actor(caller.user_id, caller.display_name, caller.role.value, origin)


def event_of(
    registry: Registry,
    actor: Actor,
    event: SecurityEvent,
    target: UUID | tuple[str, str],
    *,
    reason: str | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditEntry:
    """Return the audit record of a security event; the target is a user, or a kind and a name."""
    kind, name = (USER, str(target)) if isinstance(target, UUID) else target
    return AuditEntry(
        at=registry.clock(),
        actor=actor,
        action=event.value,
        target_kind=kind,
        target_id=name,
        reason=reason,
        before=before,
        after=after,
    )


def session_state(session: Session) -> dict[str, Any]:
    """Return what the audit keeps of a session."""
    return {"session": str(session.handle), "device": session.device, "address": session.address}


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
        state=state_of,
        reason=reason,
        at=registry.clock(),
        approvals=approvals,
        approval=approval,
    )


def creation_of(user: User) -> AuditEntry:
    """Return the audit record of a user created in the server's shell, with any role."""
    return AuditEntry(
        at=user.created_at,
        actor=SHELL,
        action="create_user",
        target_kind=USER,
        target_id=str(user.id),
        reason=None,
        before=None,
        after=state_of(user),
    )


def state_of(user: User) -> dict[str, Any]:
    """Return what the audit keeps of a user."""
    state: dict[str, Any] = {"role": user.role.value, "locked": user.locked}
    return {**state, "second_factor": True} if user.second_factor else state


def _actor(user_id: UUID, display_name: str, role: str, origin: Origin) -> Actor:
    return Actor(
        user_id=user_id,
        display_name=display_name,
        role=role,
        address=origin.address,
        request_id=origin.request_id,
    )
