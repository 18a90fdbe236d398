"""What the routes of approvals take and answer."""

from typing import Annotated, Any

from pydantic import Field

from daemons.contracts.names import ApprovalStatus
from daemons.contracts.wire import Instant, UuidText, WireModel
from daemons.shared.approvals.approval import Judged
from daemons.shared.approvals.policy import GuardedAct, StaffPolicy
from daemons.shared.audit.views import PersonView, TargetView
from daemons.shared.http.pages import PageQuery

StatusName = Annotated[ApprovalStatus, Field(strict=False)]


class ApprovalView(WireModel):
    """An act that waits for approval, or did."""

    id: UuidText
    act: str
    target: TargetView
    reason: str | None
    parameters: dict[str, Any]
    status: StatusName
    requested_by: PersonView
    requested_at: Instant
    expires_at: Instant
    decided_by: PersonView | None
    decided_at: Instant | None
    decision_reason: str | None
    """Why it was rejected or withdrawn."""
    outcome: dict[str, Any] | None

    @classmethod
    def of(cls, judged: Judged) -> "ApprovalView":
        """Show a request with its status now."""
        approval, decision = judged.approval, judged.approval.decision
        return cls(
            id=str(approval.id),
            act=approval.act.value,
            target=TargetView(kind=approval.target_kind, id=approval.target_id),
            reason=approval.reason,
            parameters=approval.parameters,
            status=judged.status,
            requested_by=PersonView.model_validate(approval.requested_by),
            requested_at=approval.requested_at,
            expires_at=approval.expires_at,
            decided_by=None if decision is None else PersonView.model_validate(decision.by),
            decided_at=None if decision is None else decision.at,
            decision_reason=judged.why_withdrawn if decision is None else decision.reason,
            outcome=None if decision is None else decision.outcome,
        )


class ApprovalPage(WireModel):
    """Requests, newest first."""

    items: list[ApprovalView]
    next_cursor: str | None


class ApprovalQuery(PageQuery):
    """The list of requests, or those of one status."""

    status: StatusName | None = None


class ActPolicyView(WireModel):
    """What is said of one act; amounts by currency, in major units."""

    act: str
    approval: str
    alone: dict[str, str]
    at_most: dict[str, str]


class StaffPolicyView(WireModel):
    """The policy that the daemon has read."""

    grant_days: int
    reading_hours: int
    acts: list[ActPolicyView]

    @classmethod
    def of(cls, policy: StaffPolicy) -> "StaffPolicyView":
        """Show every act, also those of which the file says nothing."""
        rules = {act: policy.rule(act) for act in GuardedAct}
        return cls(
            grant_days=policy.grant_days,
            reading_hours=policy.reading_hours,
            acts=[
                ActPolicyView(
                    act=act.value,
                    approval=rule.approval,
                    alone={code: f"{amount:f}" for code, amount in rule.alone.items()},
                    at_most={code: f"{amount:f}" for code, amount in rule.at_most.items()},
                )
                for act, rule in rules.items()
            ],
        )
