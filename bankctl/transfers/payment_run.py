"""Pays the rows of a file in batches, patient with a bank that is away for a while.

A few batches are on their way at once. The bank does nothing of one unless all of the one before it is
settled, so the rows are paid in the file's order; meanwhile the outcomes of earlier ones are kept, and the
next one is read.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from bankctl.client.bank import BankClient
from bankctl.transfers.courier import Answers, Courier, Errand
from bankctl.transfers.delivery import Delivery
from bankctl.transfers.orders import Order, RowKeys
from bankctl.transfers.results import Result, ResultsFile, Summary

ROWS_PER_BATCH = 500
BATCHES_AT_ONCE = 3
# What one request may hold is bounded by the bank: long references make fewer rows.
_BATCH_BYTES = 200_000
_ROW_BYTES = 240
_BYTES_PER_CHARACTER = 4
_RESULTS = {
    "completed": Result.PAID.value,
    "failed": Result.FAILED.value,
    "refused": Result.REFUSED.value,
}


@dataclass(frozen=True, slots=True)
class PaymentRun:
    """One file, paid under one name by one user at one bank."""

    orders: Iterable[Order]
    digest: str
    run_name: str
    wait_seconds: float

    def keys(self, *, url: str, user_id: str) -> RowKeys:
        """The idempotency keys of its rows."""
        return RowKeys(url=url, user_id=user_id, digest=self.digest, run_name=self.run_name)


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows that go to the bank together, with their keys, and broken ones that stand among them."""

    sound: list[Order]
    keys: list[str]
    broken: list[Order]

    @property
    def transfers(self) -> list[dict[str, Any]]:
        """The rows as they are sent."""
        return [
            {"idempotency_key": key, **order.request}
            for key, order in zip(self.keys, self.sound, strict=True)
        ]

    def records(self, answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The outcomes of all its rows, in the file's order."""
        records = [_broken_row(order) for order in self.broken]
        by_index = {answer["index"]: answer for answer in answers}
        for index, (key, order) in enumerate(zip(self.keys, self.sound, strict=True)):
            records.append(_settled_row(order, key, by_index[index]))
        if self.broken:
            records.sort(key=itemgetter("line"))
        return records


def pay(bank: BankClient, run: PaymentRun, results: ResultsFile, advance: Callable[[int], None]) -> Summary:
    """Pay every row that is not settled yet; `advance` is told how many rows are behind us.

    Raises:
        CliError: the bank stayed away for longer than the run waits, or refused the run as a whole. What
            is settled is kept in the results.
    """
    summary = Summary()
    keys = run.keys(url=bank.profile.url, user_id=bank.require_session().user_id)
    courier = Courier(Delivery(bank, run.wait_seconds).deliver, at_once=BATCHES_AT_ONCE)
    under_way: deque[tuple[_Batch, Errand]] = deque()

    def keep(batch: _Batch, answers: Answers) -> None:
        records = batch.records(answers)
        results.add(records)
        for record in records:
            summary.add(record, earlier=False)
        advance(len(records))

    for batch in _batches(_unsettled(run.orders, results, summary, advance), keys):
        if len(under_way) < BATCHES_AT_ONCE:
            under_way.append((batch, courier.send(batch.transfers)))
            continue
        oldest, errand = under_way.popleft()
        answers = errand.answers()
        # The bank has its next batch before we keep what came of the last.
        under_way.append((batch, courier.send(batch.transfers)))
        keep(oldest, answers)
    for oldest, errand in under_way:
        keep(oldest, errand.answers())
    return summary


def _batches(orders: Iterator[Order], keys: RowKeys) -> Iterator[_Batch]:
    """Cut the rows into batches that the bank accepts, by number and by size."""
    batch, size = _Batch([], [], []), 0
    for order in orders:
        if order.faults:
            batch.broken.append(order)
        else:
            batch.sound.append(order)
            batch.keys.append(keys.key(order.line))
        size += _ROW_BYTES + _BYTES_PER_CHARACTER * len(order.request.get("reference", ""))
        if len(batch.sound) + len(batch.broken) >= ROWS_PER_BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = _Batch([], [], []), 0
    if batch.sound or batch.broken:
        yield batch


def _unsettled(
    orders: Iterable[Order], results: ResultsFile, summary: Summary, advance: Callable[[int], None]
) -> Iterator[Order]:
    for order in orders:
        record = results.settled.get(order.line)
        # A row that was never sent is looked at again: this version may know better.
        if record is None or not record.get("idempotency_key"):
            yield order
        else:
            summary.add(record, earlier=True)
            advance(1)


def _broken_row(order: Order) -> dict[str, Any]:
    record = _record(order, _RESULTS["refused"], None)
    record["problem"] = {"code": "invalid_row", "detail": "; ".join(order.faults)}
    return record


def _settled_row(order: Order, key: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    record = _record(order, _RESULTS[answer["outcome"]], key)
    record["transaction_id"] = answer.get("transaction_id")
    record["problem"] = answer.get("problem")
    record["replayed"] = bool(answer.get("replayed"))
    return record


def _record(order: Order, result: str, key: str | None) -> dict[str, Any]:
    asked = order.request.get
    return {
        "line": order.line,
        "result": result,
        "idempotency_key": key,
        "from": asked("from_account", ""),
        "to": asked("to_account", ""),
        "amount": asked("amount", ""),
        "currency": asked("currency", ""),
        "reference": asked("reference"),
        "extra": order.extra,
        "transaction_id": None,
        "problem": None,
    }
