"""A batch row by row: a malformed row is refused on its own, with its fault."""

from dataclasses import dataclass

from daemons.banking_api.domain.decision import Outcome
from daemons.banking_api.domain.journal import JournalTransaction, refusal
from daemons.banking_api.handlers.orders import order_of
from daemons.banking_api.handlers.schemas import BatchOutcome, BatchResult, BatchRow, TransferBatch
from daemons.banking_api.handlers.views import transaction_view
from daemons.banking_api.services.transfers import TransferOrder
from daemons.contracts.errors import BankError, Category, InvalidRequestError
from daemons.shared.http.problems import problem_of
from daemons.shared.http.requests import check_model


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row that can be ordered, or the fault that prevents it."""

    index: int
    idempotency_key: str
    order: TransferOrder | None
    fault: InvalidRequestError | None


def rows_of(batch: TransferBatch) -> list[CheckedRow]:
    """Check every row on its own."""
    return [_check(index, row) for index, row in enumerate(batch.transfers)]


def result_of(row: CheckedRow, settled: Outcome | BankError | None, *, request_id: str) -> BatchResult:
    """Return what became of a row."""
    transaction = settled.transaction if isinstance(settled, Outcome) else None
    failure = transaction.failure if transaction else None
    problem: BankError | None = row.fault
    if isinstance(settled, BankError):
        problem = settled
    elif transaction is not None and failure is not None:
        problem = refusal(failure, transaction.id)
    return BatchResult(
        index=row.index,
        idempotency_key=row.idempotency_key or None,
        outcome=_outcome_of(transaction, problem),
        replayed=isinstance(settled, Outcome) and settled.replayed,
        transaction=transaction_view(transaction) if transaction else None,
        problem=problem_of(problem, request_id=request_id) if problem else None,
    )


def _outcome_of(transaction: JournalTransaction | None, problem: BankError | None) -> BatchOutcome:
    if transaction is not None:
        return transaction.status.value
    unknown = problem is not None and problem.category is Category.OUTCOME_UNKNOWN
    return "unknown" if unknown else "refused"


def _check(index: int, raw: dict[str, object]) -> CheckedRow:
    key = raw.get("idempotency_key")
    try:
        row = check_model(raw, BatchRow)
        order = order_of(row)
    except InvalidRequestError as fault:
        return CheckedRow(index, key if isinstance(key, str) else "", None, fault)
    return CheckedRow(index, row.idempotency_key, order, None)
