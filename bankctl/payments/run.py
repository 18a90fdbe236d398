"""Pays the rows of a file in batches, patient with a bank that is away for a while.

A few batches are on their way at once. The bank does nothing of one unless all of the one before it is
settled, so the rows are paid in the file's order; meanwhile the outcomes of earlier ones are kept, and the
next one is read.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import repeat
from typing import Any

from bankctl.client.bank import BankClient
from bankctl.errors import CliError
from bankctl.payments.confirmation import ASKED_FOR
from bankctl.payments.delivery import Delivery
from bankctl.payments.orders import Order
from bankctl.payments.results import Result, ResultsFile, Summary
from bankctl.payments.row_keys import RowKeys, attempt_key, content_of
from bankctl.payments.sender import Answers, Batch, BatchSender, SentBatch
from bankctl.payments.survey import request_of, times_text
from daemons.contracts.names import Code, RowOutcome
from daemons.contracts.vocabulary import BATCH_LIMIT

BATCHES_AT_ONCE = 3
# What one request may hold is bounded by the bank: long references make fewer rows.
_BATCH_BYTES = 200_000
_ROW_BYTES = 240
_BYTES_PER_CHARACTER = 4
_RESULTS = {
    RowOutcome.COMPLETED: Result.PAID.value,
    RowOutcome.FAILED: Result.FAILED.value,
    RowOutcome.REFUSED: Result.REFUSED.value,
}
_PAID, _REFUSED = Result.PAID.value, Result.REFUSED.value


class Attempt:
    """A row with its identity, to be paid under the key of one attempt."""

    __slots__ = ("key", "number", "order", "row")

    def __init__(self, order: Order, row: str, number: int) -> None:
        self.order, self.row, self.number = order, row, number
        self.key = attempt_key(row, number)

    @property
    def transfer(self) -> dict[str, Any]:
        """The row as it is sent."""
        return {"idempotency_key": self.key, **self.order.request}


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows that go to the bank together, and others that stand among them and are not sent."""

    attempts: list[Attempt] = field(default_factory=list)
    unsent: list[tuple[Order, dict[str, Any]]] = field(default_factory=list)

    @property
    def transfers(self) -> list[dict[str, Any]]:
        """The rows as they are sent."""
        return [attempt.transfer for attempt in self.attempts]


Settled = tuple[Order, dict[str, Any]]
"""A row with the record of its outcome."""


def unsettled(
    orders: Iterable[Order],
    keys: RowKeys,
    results: ResultsFile,
    on_paid: Callable[[Order, dict[str, Any]], None],
) -> Iterator[Attempt | Settled]:
    """The rows that are still to be paid, each with its next attempt, and those that cannot be sent.

    `on_paid` is called for each row that was paid before.
    """
    known = results.rows
    for order in orders:
        if order.faults:
            yield order, broken_row(order)
            continue
        row = keys.row(order)
        record = known.get(row) if known else None
        if record is None:
            yield Attempt(order, row, 1)
        elif record["result"] != _PAID:
            # A failed attempt that the bank keeps has used up its key.
            yield Attempt(order, row, record["attempt"] + (record["transaction_id"] is not None))
        elif order.key is not None and content_of(request_of(record)) != content_of(order.request):
            yield order, _paid_otherwise(order, record)
        else:
            on_paid(order, record)


class PaymentRun:
    """One file, paid by one user at one bank; what becomes of its rows goes into results and summary."""

    def __init__(
        self,
        bank: BankClient,
        results: ResultsFile,
        *,
        wait_seconds: float,
        atomic_limit: int = 0,
        advance: Callable[[int], None],
    ) -> None:
        """Pay all rows or none if there is an `atomic_limit`, which is how many the bank takes then."""
        self.summary = Summary()
        self._results = results
        self.advance = advance
        self._atomic_limit = atomic_limit
        delivery = Delivery(bank, wait_seconds, atomic=bool(atomic_limit))
        self._sender = BatchSender(delivery.deliver, at_once=BATCHES_AT_ONCE)
        self._under_way: deque[tuple[_Batch, SentBatch]] = deque()
        self._again: list[Attempt] = []
        """Rows of which the bank has kept a failed attempt that this machine did not know of."""
        self._unconfirmed: list[tuple[Attempt, dict[str, Any]]] = []
        """Rows that the bank takes with a confirmation only, and its answers."""

    def pay(self, orders: Iterable[Order], keys: RowKeys) -> Summary:
        """Pay every row that was not paid before.

        Raises:
            CliError: the bank stayed away for longer than the run waits, or refused the run as a whole, or
                the file cannot be read on. What is settled is kept in the results.
        """
        with self._nothing_left_behind():
            self._pay(self._batches(unsettled(orders, keys, self._results, self._skip)))
            self._pay_again()
        return self.summary

    @property
    def rows_to_confirm(self) -> int:
        """How many rows are left that the bank takes with a confirmation only."""
        return len(self._unconfirmed)

    def pay_confirmed(self, confirm: Callable[[Sequence[Batch]], Sequence[str]]) -> None:
        """Pay the rows that the bank takes with a confirmation only.

        Args:
            confirm: Returns the confirmation of each batch of rows.

        Raises:
            CliError: as `pay`. What `confirm` raises leaves the rows as they are.
        """
        batches = list(self._batches(attempt for attempt, _ in self._unconfirmed))
        confirmations = confirm([batch.transfers for batch in batches])
        self._unconfirmed = []
        with self._nothing_left_behind():
            self._pay(batches, confirmations)
            self._pay_again()

    def leave_unconfirmed(self) -> None:
        """Take what the bank said of rows without a confirmation for their outcome."""
        now = _now()
        self._keep(
            [(attempt.order, _settled_row(attempt, answer, now)) for attempt, answer in self._unconfirmed]
        )
        self._unconfirmed = []

    def _pay_again(self) -> None:
        while again := self._again:
            self._again = []
            self._pay(self._batches(iter(again)))

    @contextmanager
    def _nothing_left_behind(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            # The connection is closed next. A thread that still wrote to it would write to whatever file or
            # connection is opened then under the same number.
            for _, sent in self._under_way:
                sent.wait()
            raise

    def _skip(self, order: Order, record: dict[str, Any]) -> None:
        self.summary.add(record, earlier=True, cells=order.cells)
        self.advance(1)

    def _pay(self, batches: Iterable[_Batch], confirmations: Iterable[str | None] = repeat(None)) -> None:
        try:
            for batch, confirmation in zip(batches, confirmations, strict=False):
                # The bank gets its next batch before the oldest one's outcome is stored.
                sent = self._sender.send(batch.transfers, confirmation=confirmation)
                self._under_way.append((batch, sent))
                if len(self._under_way) > BATCHES_AT_ONCE:
                    self._keep_oldest()
        except CliError:
            # If it is the file that cannot be read on, what was sent before is kept all the same.
            self._keep_all()
            raise
        self._keep_all()

    def _keep_all(self) -> None:
        while self._under_way:
            self._keep_oldest()

    def _batches(self, rows: Iterator[Attempt | Settled]) -> Iterator[_Batch]:
        """Cut the rows into batches that the bank accepts, by number and by size."""
        rows_most = self._atomic_limit or BATCH_LIMIT
        bytes_most = _BATCH_BYTES if not self._atomic_limit else float("inf")
        batch, size = _Batch(), 0
        for row in rows:
            if isinstance(row, Attempt):
                batch.attempts.append(row)
                reference = row.order.request.get("reference")
                size += _ROW_BYTES + (_BYTES_PER_CHARACTER * len(reference) if reference else 0)
            else:
                batch.unsent.append(row)
                size += _ROW_BYTES
            if len(batch.attempts) + len(batch.unsent) >= rows_most or size >= bytes_most:
                yield batch
                batch, size = _Batch(), 0
        if batch.attempts or batch.unsent:
            yield batch

    def _keep_oldest(self) -> None:
        batch, sent = self._under_way[0]
        answers = sent.answers()
        self._under_way.popleft()
        self._keep(self._settled(batch, answers))

    def _keep(self, settled: Sequence[Settled]) -> None:
        self._results.add([record for _, record in settled])
        for order, record in settled:
            self.summary.add(record, earlier=False, cells=order.cells)
        self.advance(len(settled))

    def _settled(self, batch: _Batch, answers: Answers) -> list[Settled]:
        """The outcomes of a batch, in the file's order, but for rows that are tried once more."""
        settled = list(batch.unsent)
        by_index = {answer["index"]: answer for answer in answers}
        now = _now()
        unconfirmed = self._to_be_confirmed(answers)
        # Some rows of an atomic batch were settled before, so nothing was done: the others go by themselves.
        partly_known = any(_code_of(answer) == Code.ATOMIC_BATCH_PARTLY_KNOWN for answer in answers)
        for index, attempt in enumerate(batch.attempts):
            answer = by_index[index]
            kept_failure = answer["outcome"] == "failed" and answer.get("replayed")
            if kept_failure and answer.get("transaction_id") is not None:
                self._again.append(Attempt(attempt.order, attempt.row, attempt.number + 1))
            elif index in unconfirmed:
                self._unconfirmed.append((attempt, answer))
            elif partly_known and answer["outcome"] != "completed":
                self._again.append(attempt)
            else:
                settled.append((attempt.order, _settled_row(attempt, answer, now)))
        if batch.unsent:
            settled.sort(key=lambda row: row[0].line)
        return settled

    def _to_be_confirmed(self, answers: Answers) -> set[int]:
        """The rows that are to be sent once more with a confirmation."""
        asked = {answer["index"] for answer in answers if _code_of(answer) in ASKED_FOR}
        if not asked or not self._atomic_limit:
            return asked
        # All rows or none: a confirmation helps only if there is nothing else against any of them.
        others = {_code_of(answer) for answer in answers if answer["index"] not in asked}
        return {answer["index"] for answer in answers} if others <= {Code.ATOMIC_BATCH_REFUSED} else set()


def _code_of(answer: Mapping[str, Any]) -> str | None:
    return (answer.get("problem") or {}).get("code")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def broken_row(order: Order) -> dict[str, Any]:
    """The record of a row that cannot be sent."""
    return _record(order, _REFUSED, problem={"code": "invalid_row", "detail": "; ".join(order.faults)})


def _paid_otherwise(order: Order, record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a row whose key column says that it was paid, with another content."""
    settled_at = record["settled_at"]
    detail = (
        f"{order.key} was paid {times_text([settled_at] if settled_at else [])} with {record['amount']} "
        f"{record['currency']} from {record['from']} to {record['to']}, which is not what the row says now"
    )
    return _record(order, _REFUSED, problem={"code": "paid_otherwise", "detail": detail})


def _settled_row(attempt: Attempt, answer: Mapping[str, Any], now: str) -> dict[str, Any]:
    replayed = bool(answer.get("replayed"))
    return _record(
        attempt.order,
        _RESULTS[answer["outcome"]],
        attempt=attempt,
        transaction_id=answer.get("transaction_id"),
        problem=answer.get("problem"),
        replayed=replayed,
        # When an earlier command paid it, only the bank knows.
        settled_at=None if replayed else now,
    )


def _record(
    order: Order,
    result: str,
    *,
    problem: Mapping[str, Any] | None,
    attempt: Attempt | None = None,
    transaction_id: str | None = None,
    replayed: bool = False,
    settled_at: str | None = None,
) -> dict[str, Any]:
    asked = order.request
    return {
        "line": order.line,
        "result": result,
        "row": None if attempt is None else attempt.row,
        "attempt": 0 if attempt is None else attempt.number,
        "idempotency_key": None if attempt is None else attempt.key,
        "from": asked["from_account"],
        "to": asked["to_account"],
        "amount": asked["amount"],
        "currency": asked["currency"],
        "reference": asked.get("reference"),
        "extra": order.extra,
        "transaction_id": transaction_id,
        "problem": problem,
        "replayed": replayed,
        "settled_at": settled_at,
    }
