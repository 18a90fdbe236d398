"""What the audit trail is told of accounts and of what staff book, in the transaction of the act itself."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from daemons.banking_api.domain.account import Account
from daemons.banking_api.domain.journal import (
    BookingAct,
    JournalTransaction,
    PostingCommand,
    TransactionKind,
)
from daemons.banking_api.domain.money import format_minor
from daemons.banking_api.storage.mongo_fundings_alone import MongoFundingsAlone
from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.approvals import Approvals
from daemons.shared.approvals.testimony import Testimony
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.mongo import Session

_ACCOUNT = "account"


class AccountWitness:
    """Makes the testimony of each act on an account."""

    def __init__(self, audit: MongoAuditTrail, approvals: Approvals) -> None:
        self._audit = audit
        self._approvals = approvals

    def of(
        self,
        actor: Actor,
        act: str,
        account_id: str,
        *,
        reason: str | None,
        at: datetime,
        approval: Approval | None,
    ) -> Testimony[Account]:
        """Return the testimony of one act; owners' own acts on their accounts are no administrative ones."""
        return Testimony(
            audit=self._audit,
            actor=actor,
            action=act,
            target_kind=_ACCOUNT,
            target_id=account_id,
            state=_state,
            is_private=lambda account: account.owner == actor.user_id,
            reason=reason,
            at=at,
            approvals=self._approvals,
            approval=approval,
        )


class BookingWitness:
    """Writes of each funding and adjustment that a group posts, in that group's transaction."""

    def __init__(
        self, audit: MongoAuditTrail, approvals: Approvals, fundings_alone: MongoFundingsAlone
    ) -> None:
        self._audit = audit
        self._approvals = approvals
        self._fundings_alone = fundings_alone

    async def __call__(
        self, posted: Sequence[tuple[PostingCommand, JournalTransaction]], session: Session
    ) -> None:
        """Write the records of newly posted commands; see `MongoLedger`.

        Raises:
            ConflictError: the request was decided, or withdrawn, meanwhile.
            BeyondAloneLimitError: somebody would have funded more than one person may.
        """
        entries: list[AuditEntry] = []
        for command, transaction in posted:
            if command.act is None:
                continue
            await self._count_funding(command.act, transaction, session)
            entries.append(booking_entry(command.act, transaction))
            if command.act.approval is not None:
                outcome = {"transaction_id": str(transaction.id), "status": transaction.status.value}
                await self._approvals.mark_approved(
                    command.act.approval, command.act.actor, outcome=outcome, session=session
                )
        await self._audit.append(entries, session=session)

    async def _count_funding(
        self, act: BookingAct, transaction: JournalTransaction, session: Session
    ) -> None:
        if act.alone_limit_minor is None or transaction.failure is not None:
            return
        await self._fundings_alone.add(
            transaction.initiator,
            transaction.amount_minor,
            transaction.currency,
            limit_minor=act.alone_limit_minor,
            at=transaction.created_at,
            session=session,
        )


_ACTIONS = {TransactionKind.FUNDING: "fund", TransactionKind.ADJUSTMENT: "adjust"}


def booking_entry(act: BookingAct, transaction: JournalTransaction) -> AuditEntry:
    """Return what the audit is told of a funding or adjustment, one that a rule refused included."""
    entry = transaction.entry_of(transaction.customers_account)
    failure = transaction.failure
    before: dict[str, Any] | None = None
    after: dict[str, Any] = {
        "transaction_id": str(transaction.id),
        "status": transaction.status.value,
        "failure": None if failure is None else failure.code,
        "amount": format_minor(transaction.amount_minor, transaction.currency),
        "currency": transaction.currency,
    }
    if transaction.kind is TransactionKind.ADJUSTMENT:
        debit = transaction.customers_account == transaction.from_account
        after["direction"] = "debit" if debit else "credit"
        after["corrects"] = None if transaction.corrects is None else str(transaction.corrects)
    if entry is not None:
        held = entry.balance_after_minor - entry.amount_minor
        before = {"balance": format_minor(held, transaction.currency)}
        after["balance"] = format_minor(entry.balance_after_minor, transaction.currency)
    return AuditEntry(
        at=transaction.created_at,
        actor=act.actor,
        action=_ACTIONS[transaction.kind],
        target_kind=_ACCOUNT,
        target_id=transaction.customers_account,
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
