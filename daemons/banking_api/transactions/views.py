"""From the domain to what is answered."""

from daemons.banking_api.kinds.table import MONEY_KINDS, KindDetails
from daemons.banking_api.ledger.account import is_banks_account
from daemons.banking_api.ledger.record import Failure, Record
from daemons.banking_api.money import Money, format_minor
from daemons.banking_api.transactions.models import (
    CounterpartyView,
    FollowUpView,
    StatementLineView,
    TransactionInFull,
    TransactionView,
)
from daemons.banking_api.transactions.statements import FollowedUp, StatementLine
from daemons.contracts.events.contract import FailureView
from daemons.contracts.wire import format_instant
from daemons.shared.ids import text_of

_NO_DETAILS: dict[str, object] = dict.fromkeys(KindDetails.model_fields)


def transaction_view(record: Record) -> TransactionView:
    """Return the view of a journal transaction; balances are not part of it."""
    return TransactionView.model_validate(transaction_document(record))


def transaction_document(record: Record) -> dict[str, object]:
    """Return what `transaction_view` looks like on the wire, without making the model."""
    data, failure = record.data, record.failure
    currency, sender, receiver, kind = data["currency"], data["from"], data["to"], MONEY_KINDS[record.kind]
    return {
        "id": text_of(record.id),
        "kind": record.kind,
        "status": "completed" if failure is None else "failed",
        "amount": {"amount": format_minor(data["amount"], currency), "currency": currency},
        "from_account": None if is_banks_account(sender) else sender,
        "to_account": None if is_banks_account(receiver) else receiver,
        "reference": data["reference"],
        "description": kind.description(record),
        **_NO_DETAILS,
        **kind.details(record),
        "failure": None if failure is None else {"code": failure.code, "detail": failure.detail},
        "initiated_by": text_of(record.initiator),
        "created_at": format_instant(record.at),
    }


def transaction_in_full(found: FollowedUp) -> TransactionInFull:
    """Return the view of a transaction with what came of it."""
    currency = found.record.data["currency"]
    follow_ups = [
        FollowUpView(
            id=str(later.id),
            kind=later.kind,
            amount=Money(later.data["amount"], currency).view(),
            created_at=later.at,
        )
        for later in found.follow_ups
    ]
    taken_back = Money(found.taken_back_minor, currency).view()
    return TransactionInFull.model_validate(
        {**transaction_document(found.record), "taken_back": taken_back, "follow_ups": follow_ups}
    )


def statement_line_view(line: StatementLine) -> StatementLineView:
    """Return the view of a statement line."""
    record = line.record
    currency = record.data["currency"]
    counterparty = (
        CounterpartyView(account_id=line.counterparty_account, display_name=line.counterparty_name)
        if line.counterparty_account
        else None
    )
    after = line.balance_after_minor
    return StatementLineView(
        transaction_id=str(record.id),
        kind=record.kind,
        status=record.status,
        amount=format_minor(line.amount_minor, currency),
        currency=currency,
        balance_after=None if after is None else format_minor(after, currency),
        sequence=line.sequence,
        counterparty=counterparty,
        reference=record.data["reference"],
        description=MONEY_KINDS[record.kind].description(record),
        failure=failure_view(record.failure),
        created_at=record.at,
    )


def failure_view(failure: Failure | None) -> FailureView | None:
    """Return the view of a failure, if there is one."""
    return None if failure is None else FailureView(code=failure.code, detail=failure.detail)
