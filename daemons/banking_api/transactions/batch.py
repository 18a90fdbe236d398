"""A batch row by row: a malformed row is refused on its own, with its fault."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.decide import atomic_refused
from daemons.banking_api.ledger.ledger import BatchTurn
from daemons.banking_api.ledger.record import Outcome, refusal
from daemons.banking_api.money import parse_money
from daemons.banking_api.transactions.confirmation import ConfirmationOf
from daemons.banking_api.transactions.models import BatchOutcome, BatchRow, TransferBatch, TransferRequest
from daemons.banking_api.transactions.service import Begun, Transactions, TransferOrder, transfer_command
from daemons.banking_api.transactions.views import transaction_document
from daemons.contracts.errors import BankError, Category, ConflictError, InvalidRequestError
from daemons.shared.auth.callers import Caller
from daemons.shared.http.problems import problem_of
from daemons.shared.http.requests import check_model, invalid_field
from daemons.shared.ids import text_of

_ROWS_AT_A_TIME = 50
"""Between so many others have their turn: the batch behind this one, and what the database has answered."""
_ROWS_BEGUN_TOGETHER = 250
"""Those in front are committed while the rest is checked, in groups that are worth their round trips."""


class CheckedRow(NamedTuple):
    """A row that can be ordered, or the fault that prevents it."""

    place: int
    idempotency_key: str
    command: Transfer | None
    fault: InvalidRequestError | None


BegunRow = tuple[CheckedRow, Begun | None]


async def begin_rows(
    batch: TransferBatch,
    caller: Caller,
    confirmation_of: ConfirmationOf | None,
    transactions: Transactions,
    turn: BatchTurn,
) -> list[BegunRow]:
    """Check every row on its own and begin what can be; those in front begin while the rest is checked.

    Raises:
        ConflictError: the batch before is not settled; nothing was begun.
    """
    begun: list[BegunRow] = []
    checked: list[CheckedRow] = []
    for place, raw in enumerate(batch.transfers):
        if place and place % _ROWS_AT_A_TIME == 0:
            if len(checked) >= _ROWS_BEGUN_TOGETHER and turn.has_come:
                begun += _begin(checked, transactions, turn)
                checked = []
            await asyncio.sleep(0)
        checked.append(_check(place, raw, caller, confirmation_of))
    try:
        await turn.come()
    except ConflictError as refused:
        if not begun:
            raise
        # Those in front wait to be posted already; only their outcomes tell whether nothing was done.
        return begun + [(row, None if row.command is None else refused) for row in checked]
    begun += _begin(checked, transactions, turn)
    turn.begun()
    return begun


async def begin_atomic_rows(
    batch: TransferBatch,
    caller: Caller,
    confirmation_of: ConfirmationOf | None,
    transactions: Transactions,
    turn: BatchTurn,
) -> list[BegunRow]:
    """Begin all rows together; if one is malformed none is begun, and the others are refused with it.

    Raises:
        ConflictError: the batch before is not settled; nothing was begun.
    """
    checked = _without_doubles(await check_rows(batch.transfers, caller, confirmation_of))
    await turn.come()
    commands = [row.command for row in checked if row.command is not None]
    if len(commands) < len(checked):
        turn.begun()
        return [(row, None if row.command is None else atomic_refused()) for row in checked]
    begun = transactions.begin_atomic(commands, turn)
    turn.begun()
    return list(zip(checked, begun, strict=True))


def _without_doubles(rows: Sequence[CheckedRow]) -> list[CheckedRow]:
    """Take rows whose key stands at an earlier row as malformed."""
    first: dict[str, int] = {}
    checked: list[CheckedRow] = []
    for row in rows:
        place = first.setdefault(row.idempotency_key, row.place)
        if row.command is not None and place != row.place:
            fault = invalid_field("idempotency_key", f"stands at row {place} already")
            checked.append(row._replace(command=None, fault=fault))
        else:
            checked.append(row)
    return checked


async def check_rows(
    rows: Sequence[dict[str, object]], caller: Caller, confirmation_of: ConfirmationOf | None = None
) -> list[CheckedRow]:
    """Check every row on its own, and let others have their turn in between."""
    checked: list[CheckedRow] = []
    for place, raw in enumerate(rows):
        if place and place % _ROWS_AT_A_TIME == 0:
            await asyncio.sleep(0)
        checked.append(_check(place, raw, caller, confirmation_of))
    return checked


def last_key_of(batch: TransferBatch) -> str:
    """Return the key by which another batch may follow this one; empty if the last row has none."""
    key = batch.transfers[-1].get("idempotency_key")
    return key if isinstance(key, str) else ""


def _begin(rows: Sequence[CheckedRow], transactions: Transactions, turn: BatchTurn) -> list[BegunRow]:
    return [(row, None if row.command is None else transactions.begin(row.command, turn)) for row in rows]


async def results_of(
    begun: Sequence[BegunRow],
    outcomes: Sequence[Outcome | BankError | None],
    *,
    request_id: str,
    minimal: bool,
) -> list[dict[str, object]]:
    """Return the outcome of each row in the wire form of `BatchResult`."""
    results: list[dict[str, object]] = []
    for (row, _), settled in zip(begun, outcomes, strict=True):
        if row.place % _ROWS_AT_A_TIME == 0:
            await asyncio.sleep(0)
        results.append(_result_of(row, settled, request_id=request_id, minimal=minimal))
    return results


def _result_of(
    row: CheckedRow, settled: Outcome | BankError | None, *, request_id: str, minimal: bool
) -> dict[str, object]:
    record, replayed, outcome = None, False, "refused"
    problem: BankError | None = row.fault
    if isinstance(settled, BankError):
        problem = settled
        outcome = _outcome_without_transaction(settled)
    elif settled is not None:
        record, replayed = settled.record, settled.replayed
        outcome = "completed"
        if record.failure is not None:
            outcome, problem = "failed", refusal(record.failure, record.id)
    return {
        "index": row.place,
        "idempotency_key": row.idempotency_key or None,
        "outcome": outcome,
        "replayed": replayed,
        "transaction_id": None if record is None else text_of(record.id),
        "transaction": None if record is None or minimal else transaction_document(record),
        "problem": None if problem is None else problem_of(problem, request_id=request_id),
    }


def _outcome_without_transaction(problem: BankError) -> BatchOutcome:
    return "unknown" if problem.category is Category.OUTCOME_UNKNOWN else "refused"


def _check(
    place: int, raw: dict[str, object], caller: Caller, confirmation_of: ConfirmationOf | None
) -> CheckedRow:
    try:
        row = check_model(raw, BatchRow)
        order = order_of(row)
    except InvalidRequestError as fault:
        key = raw.get("idempotency_key")
        return CheckedRow(place, key if isinstance(key, str) else "", None, fault)
    key = row.idempotency_key
    confirmation = None if confirmation_of is None else confirmation_of(order.money.currency)
    return CheckedRow(place, key, transfer_command(caller, order, key, confirmation), None)


def order_of(body: TransferRequest) -> TransferOrder:
    """Return the order that a body asks for.

    Raises:
        InvalidRequestError: the amount is none that its currency can hold.
    """
    return TransferOrder(
        from_account=body.from_account,
        to_account=body.to_account,
        money=parse_money(body.amount, body.currency),
        reference=body.reference,
    )
