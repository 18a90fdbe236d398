"""What is recorded besides administrative acts: all of it concerns one user's access (docs/adr/0012)."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from daemons.shared.audit.record import Actor, AuditEntry, Origin
from daemons.shared.auth.callers import Caller

USER = "user"


class SecurityEvent(StrEnum):
    """Their names in the audit trail."""

    REGISTER = "register"
    REGISTER_REFUSED = "register.refused"
    CONFIRM_ADDRESS = "confirm_address"
    LOSE_ADDRESS = "lose_address"
    SIGN_IN = "sign_in"
    SIGN_IN_REFUSED = "sign_in.refused"
    CONFIRMATION_REFUSED = "confirmation.refused"
    SIGN_OUT = "sign_out"
    END_SESSION = "end_session"
    END_ALL_SESSIONS = "end_all_sessions"
    REFRESH_TOKEN_REUSED = "refresh_token.reused"  # noqa: S105 - the name of an event
    CHANGE_PASSWORD = "change_password"  # noqa: S105 - the name of an event
    ASK_PASSWORD_RESET = "ask_password_reset"  # noqa: S105 - the name of an event
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of an event
    CODE_REFUSED = "code.refused"
    ASK_NEW_ADDRESS = "ask_new_address"
    CHANGE_ADDRESS = "change_address"
    CHANGE_NAME = "change_name"
    UNDO_CHANGE = "undo_change"
    LOSE_SECOND_FACTOR = "lose_second_factor"
    KEEP_SECOND_FACTOR = "keep_second_factor"
    BEGIN_SECOND_FACTOR = "begin_second_factor"
    CONFIRM_SECOND_FACTOR = "confirm_second_factor"
    REMOVE_SECOND_FACTOR = "remove_second_factor"
    CONFIRM_PAYMENT = "confirm_payment"
    RESEAL_SECOND_FACTOR = "reseal_second_factor"
    USE_RECOVERY_CODE = "use_recovery_code"
    CREATE_API_KEY = "create_api_key"
    REVOKE_API_KEY = "revoke_api_key"


def event_of(
    at: datetime,
    actor: Actor,
    event: SecurityEvent,
    target: UUID | tuple[str, str],
    *,
    reason: str | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditEntry:
    """Return the audit entry of a security event; the target is a user, or a kind and a name."""
    kind, name = (USER, str(target)) if isinstance(target, UUID) else target
    return AuditEntry(
        at=at,
        actor=actor,
        action=event.value,
        target_kind=kind,
        target_id=name,
        reason=reason,
        before=before,
        after=after,
    )


def acting(caller: Caller, origin: Origin) -> Actor:
    """Return the caller as the one who acts."""
    return Actor(
        user_id=caller.user_id,
        display_name=caller.display_name,
        role=caller.role.value,
        address=origin.address,
        request_id=origin.request_id,
    )
