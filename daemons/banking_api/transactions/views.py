"""From the domain to what is answered."""

from daemons.banking_api.ledger.account import is_banks_account
from daemons.banking_api.ledger.record import Failure, Record
from daemons.banking_api.money import format_minor
from daemons.banking_api.transactions.models import (
    KIND_NAMES,
    CounterpartyView,
    StatementLineView,
    TransactionView,
)
from daemons.banking_api.transactions.statements import StatementLine
from daemons.contracts.events import FailureView
from daemons.contracts.wire import format_instant
from daemons.shared.ids import text_of


def transaction_view(record: Record) -> TransactionView:
    """Return the view of a journal transaction; balances are not part of it."""
    return TransactionView.model_validate(transaction_document(record))


def transaction_document(record: Record) -> dict[str, object]:
    """Return what `transaction_view` looks like on the wire, without making the model."""
    data, failure = record.data, record.failure
    currency, sender, receiver, corrects = data["currency"], data["from"], data["to"], data.get("corrects")
    return {
        "id": text_of(record.id),
        "kind": record.kind,
        "status": "completed" if failure is None else "failed",
        "amount": {"amount": format_minor(data["amount"], currency), "currency": currency},
        "from_account": None if is_banks_account(sender) else sender,
        "to_account": None if is_banks_account(receiver) else receiver,
        "reference": data["reference"],
        "corrects": None if corrects is None else str(corrects),
        "failure": None if failure is None else {"code": failure.code, "detail": failure.detail},
        "initiated_by": text_of(record.initiator),
        "created_at": format_instant(record.at),
    }


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
        kind=KIND_NAMES[record.kind],
        status=record.status.value,
        amount=format_minor(line.amount_minor, currency),
        currency=currency,
        balance_after=None if after is None else format_minor(after, currency),
        sequence=line.sequence,
        counterparty=counterparty,
        reference=record.data["reference"],
        failure=failure_view(record.failure),
        created_at=record.at,
    )


def failure_view(failure: Failure | None) -> FailureView | None:
    """Return the view of a failure, if there is one."""
    return None if failure is None else FailureView(code=failure.code, detail=failure.detail)
