"""A batch row by row: a malformed row is refused on its own, with its fault."""

from collections.abc import Iterator
from typing import NamedTuple

from daemons.banking_api.domain.decision import Outcome
from daemons.banking_api.domain.journal import refusal
from daemons.banking_api.handlers.orders import order_of
from daemons.banking_api.handlers.schemas import BatchOutcome, BatchRow, TransferBatch
from daemons.banking_api.handlers.views import transaction_document
from daemons.banking_api.services.transfers import TransferOrder
from daemons.contracts.errors import BankError, Category, InvalidRequestError
from daemons.shared.http.problems import problem_of
from daemons.shared.http.requests import check_model


class CheckedRow(NamedTuple):
    """A row that can be ordered, or the fault that prevents it."""

    place: int
    idempotency_key: str
    order: TransferOrder | None
    fault: InvalidRequestError | None


def rows_of(batch: TransferBatch) -> Iterator[CheckedRow]:
    """Check every row on its own, one after another."""
    return (_check(place, row) for place, row in enumerate(batch.transfers))


def result_of(row: CheckedRow, settled: Outcome | BankError | None, *, request_id: str) -> dict[str, object]:
    """Return what became of a row, as a `BatchResult` looks on the wire."""
    transaction, replayed, outcome = None, False, "refused"
    problem: BankError | None = row.fault
    if isinstance(settled, BankError):
        problem = settled
        outcome = _outcome_without_transaction(settled)
    elif settled is not None:
        transaction, replayed = settled.transaction, settled.replayed
        outcome = "completed"
        if transaction.failure is not None:
            outcome, problem = "failed", refusal(transaction.failure, transaction.id)
    return {
        "index": row.place,
        "idempotency_key": row.idempotency_key or None,
        "outcome": outcome,
        "replayed": replayed,
        "transaction": None if transaction is None else transaction_document(transaction),
        "problem": None if problem is None else problem_of(problem, request_id=request_id),
    }


def _outcome_without_transaction(problem: BankError) -> BatchOutcome:
    return "unknown" if problem.category is Category.OUTCOME_UNKNOWN else "refused"


def _check(place: int, raw: dict[str, object]) -> CheckedRow:
    key = raw.get("idempotency_key")
    try:
        row = check_model(raw, BatchRow)
        order = order_of(row)
    except InvalidRequestError as fault:
        return CheckedRow(place, key if isinstance(key, str) else "", None, fault)
    return CheckedRow(place, row.idempotency_key, order, None)
