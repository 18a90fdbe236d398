"""What an act on one thing writes alongside itself: its audit record, and that its request was approved."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail, log_act
from daemons.shared.mongo import Session

ThingT = TypeVar("ThingT")


@dataclass(slots=True, kw_only=True)
class Testimony(Generic[ThingT]):
    """One act's testimony. `write` goes into the act's transaction, `log` comes after its commit.

    `state` tells what the record keeps of the thing before and after; `is_private` which acts are nobody's
    business: an owner's on what is their own.
    """

    audit: MongoAuditTrail
    actor: Actor
    action: str
    target_kind: str
    target_id: str
    state: Callable[[ThingT], dict[str, Any]]
    reason: str | None
    at: datetime
    is_private: Callable[[ThingT], bool] = lambda _thing: False
    approvals: Approvals | None = None
    approval: Approval | None = None
    written: AuditEntry | None = field(default=None, init=False)

    async def write(self, before: ThingT, after: ThingT, session: Session) -> None:
        """Write it; an act that changes nothing has no record. May run several times."""
        if self.approval is not None and self.approvals is not None:
            await self.approvals.mark_approved(self.approval, self.actor, outcome=None, session=session)
        if before == after or self.is_private(before):
            return
        entry = AuditEntry(
            at=self.at,
            actor=self.actor,
            action=self.action,
            target_kind=self.target_kind,
            target_id=self.target_id,
            reason=self.reason,
            before=self.state(before),
            after=self.state(after),
            approval=self.approval.testimony() if self.approval else None,
        )
        await self.audit.append([entry], session=session)
        self.written = entry

    def log(self) -> None:
        """Log the act, if there was one."""
        if self.written is not None:
            log_act(self.written)
