"""Requests for a second person's approval."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from daemons.contracts.errors import ConflictError, ForbiddenError, NotFoundError
from daemons.contracts.wire import format_instant
from daemons.shared.approvals.policy import GuardedAct

LIFETIME = timedelta(hours=24)
"""How long a request waits: a night and a working day; what nobody has looked at by then is asked again."""

Fields = dict[str, Any]


class ApprovalStatus(StrEnum):
    """Only a pending request can be decided; approved means carried out, both at once."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Who decided a request, when, why, and what came of it."""

    by: Fields
    at: datetime
    reason: str | None
    outcome: Fields | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A request and what became of it. `parameters` is all that carrying it out needs, as JSON."""

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

    def status(self, now: datetime) -> ApprovalStatus:
        """Return the status; nothing has to happen for a request to expire."""
        if self.stored_status is ApprovalStatus.PENDING and now >= self.expires_at:
            return ApprovalStatus.EXPIRED
        return self.stored_status

    def check_decidable(self, now: datetime) -> None:
        """Go on only if the request still waits.

        Raises:
            ConflictError: `approval_decided` or `approval_expired`.
        """
        match self.status(now):
            case ApprovalStatus.PENDING:
                return
            case ApprovalStatus.EXPIRED:
                raise ConflictError("approval_expired", "This request has expired; it must be made anew.")
            case _:
                raise approval_decided()

    def check_second_person(self, user_id: UUID | None) -> None:
        """Go on only if it is somebody else who approves.

        Raises:
            ForbiddenError: `own_request`.
        """
        if user_id is None or user_id == self.requester_id:
            raise ForbiddenError("own_request", "Nobody approves their own request; ask somebody else.")

    def testimony(self) -> Fields:
        """Return the first person's part, as the audit record of the carried out act keeps it."""
        return {
            "id": str(self.id),
            "requested_by": self.requested_by,
            "requested_at": format_instant(self.requested_at),
        }


def approval_decided() -> ConflictError:
    """The error for a request that somebody else was quicker to decide."""
    return ConflictError("approval_decided", "This request has been decided already.")


def approval_not_found() -> NotFoundError:
    """The error for an id that no request has."""
    return NotFoundError("approval_not_found", "There is no such request for approval.")
