"""From the domain to what is answered."""

from collections.abc import Sequence
from datetime import datetime

from daemons.banking_api.domain.account import Account
from daemons.banking_api.domain.journal import Failure, JournalTransaction, is_system_account
from daemons.banking_api.domain.money import Money, format_minor
from daemons.banking_api.handlers.schemas import (
    AccountView,
    CounterpartyView,
    CurrencyProof,
    EventSetView,
    MismatchView,
    OutboxView,
    ProofView,
    RelayView,
    StatementLineView,
    TransactionView,
    UnknownEventView,
)
from daemons.banking_api.services.proof import Proof
from daemons.banking_api.services.published_events import UnknownEvent
from daemons.banking_api.services.statements import StatementLine
from daemons.contracts.events import FailureView
from daemons.contracts.wire import format_instant
from daemons.shared.ids import text_of, time_of
from daemons.shared.outbox.store import Waiting


def account_view(account: Account) -> AccountView:
    """Return the view of an account."""
    return AccountView(
        id=account.id,
        owner_id=str(account.owner),
        name=account.name,
        type=account.type.value,
        status=account.status.value,
        balance=Money(account.balance_minor, account.currency).view(),
        opened_at=account.opened_at,
        status_reason=account.status_reason,
    )


def transaction_view(transaction: JournalTransaction) -> TransactionView:
    """Return the view of a journal transaction; balances are not part of it."""
    return TransactionView.model_validate(transaction_document(transaction))


def transaction_document(transaction: JournalTransaction) -> dict[str, object]:
    """Return what `transaction_view` looks like on the wire, without making the model."""
    currency, failure = transaction.currency, transaction.failure
    sender, receiver = transaction.from_account, transaction.to_account
    return {
        "id": text_of(transaction.id),
        "kind": transaction.kind.value,
        "status": "completed" if failure is None else "failed",
        "amount": {"amount": format_minor(transaction.amount_minor, currency), "currency": currency},
        "from_account": None if is_system_account(sender) else sender,
        "to_account": None if is_system_account(receiver) else receiver,
        "reference": transaction.reference,
        "corrects": None if transaction.corrects is None else str(transaction.corrects),
        "failure": None if failure is None else {"code": failure.code, "detail": failure.detail},
        "initiated_by": text_of(transaction.initiator),
        "created_at": format_instant(transaction.created_at),
    }


def statement_line_view(line: StatementLine) -> StatementLineView:
    """Return the view of a statement line."""
    transaction = line.transaction
    currency = transaction.currency
    counterparty = (
        CounterpartyView(account_id=line.counterparty_account, display_name=line.counterparty_name)
        if line.counterparty_account
        else None
    )
    after = line.balance_after_minor
    return StatementLineView(
        transaction_id=str(transaction.id),
        kind=transaction.kind.value,
        status=transaction.status.value,
        amount=format_minor(line.amount_minor, currency),
        currency=currency,
        balance_after=None if after is None else format_minor(after, currency),
        sequence=line.sequence,
        counterparty=counterparty,
        reference=transaction.reference,
        failure=failure_view(transaction.failure),
        created_at=transaction.created_at,
    )


def failure_view(failure: Failure | None) -> FailureView | None:
    """Return the view of a failure, if there is one."""
    return None if failure is None else FailureView(code=failure.code, detail=failure.detail)


def proof_view(proof: Proof) -> ProofView:
    """Return the view of a proof."""
    return ProofView(
        holds=proof.holds,
        currencies=[
            CurrencyProof(
                currency=currency,
                sum_minor=str(total.sum_minor),
                accounts=total.accounts,
                entries=total.entries,
            )
            for currency, total in sorted(proof.currencies.items())
        ],
        accounts=proof.accounts,
        journal_transactions=proof.completed + proof.failed,
        completed=proof.completed,
        failed=proof.failed,
        mismatch_count=proof.mismatch_count,
        mismatches=[MismatchView(id=found.id, problem=found.problem) for found in proof.mismatches],
        outbox_pending=proof.outbox_pending,
        events=EventSetView(count=proof.events.count, digest=proof.events.hexdigest()),
    )


def outbox_view(
    waiting: Waiting, unknown: Sequence[UnknownEvent], *, failure: str | None, now: datetime
) -> OutboxView:
    """Return the view of what waits to be published; a lease that has run out is nobody's."""
    oldest_at = None if waiting.oldest is None else time_of(waiting.oldest)
    live = waiting.lease_until is not None and waiting.lease_until > now
    return OutboxView(
        pending_events=waiting.events,
        pending_commits=waiting.commits,
        oldest_at=oldest_at,
        oldest_age_seconds=None if oldest_at is None else round((now - oldest_at).total_seconds(), 3),
        unknown_events=[
            UnknownEventView(event_id=str(event.id), type=event.type, time=event.time) for event in unknown
        ],
        relay=RelayView(
            lease_holder=str(waiting.lease_holder) if live else None,
            lease_until=waiting.lease_until if live else None,
            failure=failure,
        ),
    )
