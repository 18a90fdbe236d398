"""Pays the rows of a file in batches, patient with a bank that is away for a while.

One batch is at the bank at a time, so the rows are paid in the file's order; while it is there, the outcomes
of the one before are kept and the next one is read.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bankctl.client.bank import BankClient
from bankctl.errors import CliError, ExitStatus
from bankctl.render import messages
from bankctl.transfers.courier import Courier
from bankctl.transfers.orders import Order, idempotency_key, read_orders
from bankctl.transfers.results import Result, ResultsFile, Summary

ROWS_PER_BATCH = 500
# What one request may hold is bounded by the bank: long references make fewer rows.
_BATCH_BYTES = 200_000
_ROW_BYTES = 240
_BYTES_PER_CHARACTER = 4
_LONGEST_PAUSE_SECONDS = 5.0
_PASSING = frozenset({ExitStatus.UNREACHABLE, ExitStatus.OUTCOME_UNKNOWN})
_NOT_PASSING_CODES = frozenset({"tls_untrusted", "tls_certificate_missing"})
_RESULTS = {"completed": Result.PAID, "failed": Result.FAILED, "refused": Result.REFUSED}
# A row refused for one of these may still be paid when it is sent again.
_UNSETTLED_CATEGORIES = frozenset({"transient", "outcome_unknown", "internal", "unauthenticated"})


@dataclass(frozen=True, slots=True)
class PaymentRun:
    """One file, paid under one name by one user at one bank."""

    path: Path
    digest: str
    run_name: str
    wait_seconds: float

    def key(self, *, url: str, user_id: str, line: int) -> str:
        """The idempotency key of a row."""
        return idempotency_key(
            url=url, user_id=user_id, digest=self.digest, run_name=self.run_name, line=line
        )


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
        by_index = {answer["index"]: answer for answer in answers}
        records = [_broken_row(order) for order in self.broken]
        records += [
            _settled_row(order, key, by_index[index])
            for index, (key, order) in enumerate(zip(self.keys, self.sound, strict=True))
        ]
        return sorted(records, key=lambda record: int(record["line"]))


def pay(bank: BankClient, run: PaymentRun, results: ResultsFile, advance: Callable[[int], None]) -> Summary:
    """Pay every row that is not settled yet; `advance` is told how many rows are behind us.

    Raises:
        CliError: the bank stayed away for longer than the run waits, or refused the run as a whole. What
            is settled is kept in the results.
    """
    summary = Summary()
    user_id = bank.require_session().user_id
    key = partial(run.key, url=bank.profile.url, user_id=user_id)
    courier = Courier(lambda transfers: _send_patiently(bank, transfers, run.wait_seconds))

    def keep(batch: _Batch, answers: Sequence[dict[str, Any]]) -> None:
        records = batch.records(answers)
        results.add(records)
        for record in records:
            summary.add(record, earlier=False)
        advance(len(records))

    sent: _Batch | None = None
    for batch in _batches(_unsettled(read_orders(run.path), results, summary, advance), key):
        answers = courier.fetch() if sent else []
        courier.send(batch.transfers)
        if sent:
            keep(sent, answers)
        sent = batch
    if sent:
        keep(sent, courier.fetch())
    return summary


def _batches(orders: Iterator[Order], key: Callable[..., str]) -> Iterator[_Batch]:
    """Cut the rows into batches that the bank accepts, by number and by size."""
    batch, size = _Batch([], [], []), 0
    for order in orders:
        if order.faults:
            batch.broken.append(order)
        else:
            batch.sound.append(order)
            batch.keys.append(key(line=order.line))
        size += _ROW_BYTES + _BYTES_PER_CHARACTER * len(order.request.get("reference", ""))
        if len(batch.sound) + len(batch.broken) >= ROWS_PER_BATCH or size >= _BATCH_BYTES:
            yield batch
            batch, size = _Batch([], [], []), 0
    if batch.sound or batch.broken:
        yield batch


def _unsettled(
    orders: Iterator[Order], results: ResultsFile, summary: Summary, advance: Callable[[int], None]
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
    problem = {"code": "invalid_row", "detail": "; ".join(order.faults)}
    return _record(order, Result.REFUSED, key=None, problem=problem)


def _record(order: Order, result: Result, *, key: str | None, **more: Any) -> dict[str, Any]:
    asked = order.request
    return {
        "line": order.line,
        "result": str(result),
        "idempotency_key": key,
        "from": asked.get("from_account", ""),
        "to": asked.get("to_account", ""),
        "amount": asked.get("amount", ""),
        "currency": asked.get("currency", ""),
        "reference": asked.get("reference"),
        "extra": order.extra,
        "transaction_id": None,
        "problem": None,
        **more,
    }


def _settled_row(order: Order, key: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    transaction, problem = answer.get("transaction") or {}, answer.get("problem")
    return _record(
        order,
        _RESULTS[answer["outcome"]],
        key=key,
        transaction_id=transaction.get("id"),
        replayed=bool(answer.get("replayed")),
        problem=problem or transaction.get("failure"),
    )


def _send_patiently(
    bank: BankClient, transfers: Sequence[dict[str, Any]], wait_seconds: float
) -> list[dict[str, Any]]:
    """Send a batch, again and again while the bank is away: the keys make it pay once."""
    if not transfers:
        return []
    deadline = time.monotonic() + wait_seconds
    pause_seconds, doubted = 0.2, False
    while True:
        try:
            answers = bank.transactions.batch(transfers)
            _refuse_unsettled(answers)
        except CliError as error:
            doubted = doubted or error.exit_status is ExitStatus.OUTCOME_UNKNOWN
            passing = error.exit_status in _PASSING and error.code not in _NOT_PASSING_CODES
            if not passing or time.monotonic() + pause_seconds > deadline:
                raise _stopped(error, doubted=doubted) from error
            messages.note(f"{error.message}; waiting for the bank")
            time.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)
        else:
            return answers


def _refuse_unsettled(answers: Sequence[dict[str, Any]]) -> None:
    for answer in answers:
        problem = answer.get("problem") or {}
        code, category = problem.get("code", "outcome_unknown"), problem.get("category")
        unsettled = category in _UNSETTLED_CATEGORIES or code == "idempotency_key_in_use"
        if answer["outcome"] not in _RESULTS or (answer["outcome"] == "refused" and unsettled):
            raise CliError(
                f"the outcome of a row is not known yet: {problem.get('detail') or code}",
                exit_status=ExitStatus.OUTCOME_UNKNOWN,
                code=str(code),
                request_id=problem.get("request_id"),
            )


def _stopped(error: CliError, *, doubted: bool) -> CliError:
    unreached = error.exit_status is ExitStatus.UNREACHABLE
    return CliError(
        f"stopped before the end of the file: {error.message}",
        exit_status=ExitStatus.OUTCOME_UNKNOWN if doubted and unreached else error.exit_status,
        hint="run the same command again: it goes on where it stopped and pays nothing twice",
        code=error.code,
        request_id=error.request_id,
        details=error.details,
    )
