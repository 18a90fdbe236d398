"""What the audit trail is told of accounts and funding, in the transaction of the act itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from daemons.banking_api.domain.account import Account
from daemons.banking_api.domain.journal import FundingAct, JournalTransaction, PostingCommand
from daemons.banking_api.domain.money import format_minor
from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail, log_act
from daemons.shared.mongo import Session

_ACCOUNT = "account"


class AccountWitness:
    """Makes the testimony of each act on an account."""

    def __init__(self, audit: MongoAuditTrail, approvals: Approvals) -> None:
        self._audit = audit
        self._approvals = approvals

    def of(
        self, actor: Actor, act: str, *, reason: str | None, at: datetime, approval: Approval | None
    ) -> "Testimony":
        """Return the testimony of one act, to be written alongside it."""
        return Testimony(self._audit, self._approvals, actor, act, reason, at, approval)


@dataclass(slots=True)
class Testimony:
    """Writes one act on an account; owners' own acts on their accounts are no administrative ones."""

    audit: MongoAuditTrail
    approvals: Approvals
    actor: Actor
    act: str
    reason: str | None
    at: datetime
    approval: Approval | None
    written: AuditEntry | None = field(default=None, init=False)

    async def write(self, before: Account, after: Account, session: Session) -> None:
        """Write it in the act's transaction; see `MongoAccounts.change`."""
        if self.approval is not None:
            await self.approvals.mark_approved(self.approval, self.actor, outcome=None, session=session)
        if before == after or before.owner == self.actor.user_id:
            return
        entry = AuditEntry(
            at=self.at,
            actor=self.actor,
            action=self.act,
            target_kind=_ACCOUNT,
            target_id=after.id,
            reason=self.reason,
            before=_state(before),
            after=_state(after),
            approval=self.approval.testimony() if self.approval else None,
        )
        await self.audit.append([entry], session=session)
        self.written = entry

    def log(self) -> None:
        """Log it once it is committed."""
        if self.written is not None:
            log_act(self.written)


class FundingWitness:
    """Writes of each funding that a group posts, in that group's transaction."""

    def __init__(self, audit: MongoAuditTrail, approvals: Approvals) -> None:
        self._audit = audit
        self._approvals = approvals

    async def __call__(
        self, posted: Sequence[tuple[PostingCommand, JournalTransaction]], session: Session
    ) -> None:
        """Write the records of newly posted commands; see `MongoLedger`."""
        entries: list[AuditEntry] = []
        for command, transaction in posted:
            if command.act is None:
                continue
            entries.append(funding_entry(command.act, transaction))
            if command.act.approval is not None:
                outcome = {"transaction_id": str(transaction.id), "status": transaction.status.value}
                await self._approvals.mark_approved(
                    command.act.approval, command.act.actor, outcome=outcome, session=session
                )
        await self._audit.append(entries, session=session)


def funding_entry(act: FundingAct, transaction: JournalTransaction) -> AuditEntry:
    """Return what the audit is told of a funding, one that a rule refused included."""
    entry = transaction.entry_of(transaction.to_account)
    failure = transaction.failure
    before: dict[str, Any] | None = None
    after: dict[str, Any] = {
        "transaction_id": str(transaction.id),
        "status": transaction.status.value,
        "failure": None if failure is None else failure.code,
        "amount": format_minor(transaction.amount_minor, transaction.currency),
        "currency": transaction.currency,
    }
    if entry is not None:
        held = entry.balance_after_minor - entry.amount_minor
        before = {"balance": format_minor(held, transaction.currency)}
        after["balance"] = format_minor(entry.balance_after_minor, transaction.currency)
    return AuditEntry(
        at=transaction.created_at,
        actor=act.actor,
        action="fund",
        target_kind=_ACCOUNT,
        target_id=transaction.to_account,
        reason=transaction.reference,
        before=before,
        after=after,
        approval=act.approval.testimony() if act.approval else None,
    )


def _state(account: Account) -> dict[str, Any]:
    return {
        "type": account.type.value,
        "status": account.status.value,
        "status_reason": account.status_reason,
    }
