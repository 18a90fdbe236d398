"""Requests for another person's approval."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from daemons.contracts.errors import ConflictError, ForbiddenError, NotFoundError
from daemons.contracts.names import ApprovalStatus
from daemons.contracts.permissions import Role, is_granted
from daemons.contracts.wire import format_instant
from daemons.shared.approvals.policy import GuardedAct

LIFETIME = timedelta(hours=24)
"""How long a request waits: a night and a working day; what nobody has looked at by then is asked again."""

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Who decided a request, when, why, and its result."""

    by: Fields
    at: datetime
    reason: str | None
    outcome: Fields | None


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """That somebody gave a user a role, alone or as one of two."""

    by: UUID
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How somebody who asks or approves stands now.

    `rights_lost_at` is the last time a lock or a role took any right; `grants` are the newest ones of a role.
    """

    role: Role
    locked: bool
    rights_lost_at: datetime | None
    grants: tuple[RoleGrant, ...] = ()

    def check_independent(self, requester_id: UUID, *, since: datetime) -> None:
        """Go on only if who approves did not get their role from the requester since then.

        Raises:
            ForbiddenError: `granted_role`.
        """
        if any(grant.by == requester_id and grant.at > since for grant in self.grants):
            raise ForbiddenError(
                "granted_role",
                "Who asks for this has given you your role a short while ago; somebody else must approve it.",
            )


Standings = Callable[[Collection[UUID]], Awaitable[Mapping[UUID, Standing]]]
"""Returns these users' standing; former users are missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A request and its current status; `why_withdrawn` says why the requester may no longer ask for it."""

    approval: "Approval"
    status: ApprovalStatus
    why_withdrawn: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A request and its outcome. `parameters` is everything needed to carry it out, as JSON."""

    id: UUID
    act: GuardedAct
    target_kind: str
    target_id: str
    reason: str | None
    parameters: Fields
    requester_id: UUID
    requested_by: Fields
    requested_at: datetime
    expires_at: datetime
    stored_status: ApprovalStatus = ApprovalStatus.PENDING
    decision: Decision | None = None
    idempotency_key: str | None = None
    replayed: bool = False
    """Whether it was found under the key of a request that was sent again; not kept."""

    def status(self, now: datetime) -> ApprovalStatus:
        """Return the status; nothing has to happen for a request to expire."""
        if self.stored_status is ApprovalStatus.PENDING and now >= self.expires_at:
            return ApprovalStatus.EXPIRED
        return self.stored_status

    def judged(self, now: datetime, requester: Standing | None) -> Judged:
        """Return the status now; a request dies with the right to make it, and does not come back with it."""
        status = self.status(now)
        why = self._why_withdrawn(requester) if status is ApprovalStatus.PENDING else None
        return Judged(approval=self, status=ApprovalStatus.WITHDRAWN if why else status, why_withdrawn=why)

    def _why_withdrawn(self, requester: Standing | None) -> str | None:
        if requester is None:
            return "the requester is no longer a user"
        if requester.locked:
            return "who asked is locked"
        if not is_granted(requester.role, self.act.permission):
            return f"who asked is {requester.role.value} now and may not do this"
        lost_at = requester.rights_lost_at
        if lost_at is not None and lost_at >= self.requested_at:
            return "who asked was locked or had another role since"
        return None

    def check_other_person(self, user_id: UUID | None) -> UUID:
        """Return who approves, if it is somebody else.

        Raises:
            ForbiddenError: `own_request`.
        """
        if user_id is None or user_id == self.requester_id:
            raise ForbiddenError("own_request", "Nobody approves their own request; ask somebody else.")
        return user_id

    def audit_fields(self) -> Fields:
        """Return the first person's part, as the audit record of the carried out act keeps it."""
        return {
            "id": str(self.id),
            "requested_by": self.requested_by,
            "requested_at": format_instant(self.requested_at),
        }


def check_decidable(judged: Judged) -> None:
    """Go on only if the request still waits.

    Raises:
        ConflictError: `approval_decided`, `approval_expired` or `approval_withdrawn`.
    """
    match judged.status:
        case ApprovalStatus.PENDING:
            return
        case ApprovalStatus.EXPIRED:
            raise ConflictError("approval_expired", "This request has expired; make a new one.")
        case ApprovalStatus.WITHDRAWN:
            raise approval_withdrawn(judged.why_withdrawn)
        case _:
            raise approval_decided()


def approval_withdrawn(why: str | None) -> ConflictError:
    """The error for a request whose requester has lost the right to make it."""
    return ConflictError("approval_withdrawn", f"This request counts no longer: {why}.")


def approval_outdated(what: str) -> ConflictError:
    """The error for a request about something that has changed since it was made."""
    return ConflictError(
        "approval_outdated", f"{what} has changed since this was requested; make a new request."
    )


def approval_decided() -> ConflictError:
    """The error for a request that somebody else was quicker to decide."""
    return ConflictError("approval_decided", "This request has been decided already.")


def approval_not_found() -> NotFoundError:
    """The error for an id that no request has."""
    return NotFoundError("approval_not_found", "There is no such request for approval.")
