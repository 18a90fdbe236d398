"""What is written with an act of staff, in its own transaction: the audit's entry, and the approval."""

from collections.abc import Sequence

from daemons.banking_api.kinds.table import KINDS
from daemons.banking_api.ledger.record import Command, Outcome, Record
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.audit.guarded import forget_changes
from daemons.shared.audit.record import AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail, log_act
from daemons.shared.mongo import Session


class ActRecorder:
    """Writes of the acts in a group of commands."""

    def __init__(self, audit: MongoAuditTrail, approvals: Approvals) -> None:
        self._audit = audit
        self._approvals = approvals

    async def write(self, acts: Sequence[tuple[Command, Record]], session: Session) -> None:
        """Write of newly decided acts; may run several times.

        Raises:
            ConflictError: the request for one was decided, or withdrawn, meanwhile.
        """
        forget_changes(session)
        entries: list[AuditEntry] = []
        for command, record in acts:
            if command.act is None:
                continue
            if command.act.approval is not None:
                moved_money = KINDS[record.kind].is_transaction
                told = {"transaction_id": str(record.id), "status": record.status.value}
                await self._approvals.mark_approved(
                    command.act.approval,
                    command.act.actor,
                    outcome=told if moved_money else None,
                    session=session,
                )
            entry = KINDS[record.kind].audit_entry(record, command.act)
            if entry is not None:
                entries.append(entry)
        await self._audit.append(entries, session=session)


def log_outcome(command: Command, outcome: Outcome) -> None:
    """Log an act that was just carried out, or that a rule has refused."""
    if command.act is None or outcome.replayed or outcome.key_reused:
        return
    entry = KINDS[outcome.record.kind].audit_entry(outcome.record, command.act)
    if entry is not None:
        log_act(entry)
