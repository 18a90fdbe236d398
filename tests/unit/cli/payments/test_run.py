"""One run of payments: what is sent, under which key, and what is kept of it."""

import json
import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from bankctl.client.http import Answer
from bankctl.errors import CliError, ExitStatus
from bankctl.payments import run as payment_run
from bankctl.payments.orders import Order
from bankctl.payments.results import ResultsFile, RunIdentity, Summary
from bankctl.payments.row_keys import RowKeys, attempt_key
from bankctl.payments.run import PaymentRun
from tests.unit.cli.played_bank import ANN, BANK_ID, BOB, USER, Bank

IDENTITY = RunIdentity(bank_id=BANK_ID, user_id=USER, name="march", known_by="")
REFUSED = CliError("no", exit_status=ExitStatus.USAGE, code="invalid_request")


def row_keys() -> RowKeys:
    return RowKeys(bank_id=BANK_ID, user_id=USER, run_name="march")


def order(
    line: int,
    amount: str = "1.00",
    *,
    reference: str | None = None,
    key: str | None = None,
    faults: Sequence[str] = (),
) -> Order:
    request = {"from_account": ANN, "to_account": BOB, "amount": amount, "currency": "EUR"}
    if reference:
        request["reference"] = reference
    return Order(line, request, {"id": str(line)}, list(faults), key, [str(line), amount])


class Line:
    """Calls a played bank with no line in between; `bend` changes its answers."""

    def __init__(self) -> None:
        self.bank = Bank()
        self.transactions = self
        self.sent: list[list[dict[str, Any]]] = []
        self.flags: set[bool] = set()
        self.advanced: list[int] = []

    def batch(
        self,
        transfers: Sequence[dict[str, Any]],
        *,
        after: str | None = None,
        atomic: bool = False,
        confirmation: str | None = None,
    ) -> Answer:
        assert confirmation is None
        with self.bank.lock:
            if after is not None and after not in self.bank.settled:
                code = "batch_before_not_settled"
                raise CliError("wait", exit_status=ExitStatus.CONFLICT, code=code)
            assert len(self.sent) < 50, "it sends without end"
            self.sent.append(list(transfers))
            self.flags.add(atomic)
            take = self.bank.atomic_batch if atomic else self.bank.batch
            return Answer(200, {"results": self.bend(take(list(transfers)))}, {})

    def bend(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return results

    def run(self, results: ResultsFile, *, atomic_limit: int = 0) -> PaymentRun:
        return PaymentRun(
            self,  # type: ignore[arg-type]
            results,
            wait_seconds=0,
            atomic_limit=atomic_limit,
            advance=self.advanced.append,
        )

    @property
    def keys(self) -> list[str]:
        return [row["idempotency_key"] for rows in self.sent for row in rows]


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def loaded(path: Path) -> ResultsFile:
    results = ResultsFile(path, identity=IDENTITY)
    results.load()
    return results


def pay(line: Line, path: Path, *orders: Order, atomic_limit: int = 0) -> Summary:
    results = loaded(path)
    results.begin(sha256="0" * 64, name="orders.csv")
    return line.run(results, atomic_limit=atomic_limit).pay(orders, row_keys())


def kept(path: Path) -> list[dict[str, Any]]:
    records = map(json.loads, path.read_text().splitlines())
    return [record for record in records if "line" in record]


def test_a_paid_row_is_kept_with_all_that_is_known_of_it(line: Line, path: Path) -> None:
    paid = order(7, "2.50", reference="rent")
    summary = pay(line, path, paid)
    row = row_keys().row(paid)
    assert line.sent == [[{"idempotency_key": row, **paid.request}]]
    ((_, _, transaction),) = line.bank.settled.values()
    (record,) = kept(path)
    settled_at = record.pop("settled_at")
    assert datetime.fromisoformat(settled_at).utcoffset() is not None
    assert "." not in settled_at
    assert record == {
        "line": 7,
        "result": "paid",
        "row": row,
        "attempt": 1,
        "idempotency_key": row,
        "from": ANN,
        "to": BOB,
        "amount": "2.50",
        "currency": "EUR",
        "reference": "rent",
        "extra": {"id": "7"},
        "transaction_id": transaction["id"],
        "problem": None,
        "replayed": False,
    }
    assert (summary.counts["paid"], summary.paid_before, line.advanced) == (1, 0, [1])
    assert line.flags == {False}


def test_what_was_paid_is_skipped_and_counted(line: Line, path: Path) -> None:
    pay(line, path, order(2), order(3, "2.00"))
    line.sent.clear()
    line.advanced.clear()
    summary = pay(line, path, order(2), order(3, "2.00"), order(4, "3.00"))
    assert [[row["amount"] for row in rows] for rows in line.sent] == [["3.00"]]
    assert (summary.counts["skipped"], summary.counts["paid"]) == (2, 1)
    assert line.advanced == [1, 1, 1]
    assert summary.document()["amounts"] == {"EUR": {"skipped": "3.00", "paid": "3.00"}}


def test_a_failed_row_is_tried_anew_under_another_key_each_time(line: Line, path: Path) -> None:
    much = order(2, "5000.00")
    row = row_keys().row(much)
    for attempt in (1, 2, 3):
        summary = pay(line, path, much)
        record = kept(path)[-1]
        assert (record["result"], record["attempt"]) == ("failed", attempt)
        assert record["idempotency_key"] == attempt_key(row, attempt) == line.keys[-1]
        assert record["problem"]["code"] == "insufficient_funds"
        assert summary.unpaid == [{**record, "cells": ["2", "5000.00"]}]
        assert record["settled_at"] is not None
        assert loaded(path).unpaid == {row}
    assert len(set(line.keys)) == 3
    line.bank.balances[ANN] += 10_000
    assert pay(line, path, much).counts["paid"] == 1
    assert line.bank.balances[BOB] == 5000


def test_a_row_that_left_no_transaction_is_tried_anew_under_its_key(
    line: Line, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = {"code": "account_not_found", "category": "not_found"}
    answer = {"index": 0, "outcome": "refused", "problem": problem}
    monkeypatch.setattr(line.bank, "batch", lambda _: [answer])
    for _ in range(2):
        pay(line, path, order(2))
        record = kept(path)[-1]
        assert (record["result"], record["attempt"], record["transaction_id"]) == ("refused", 1, None)
        assert (record["problem"], record["replayed"]) == (problem, False)
    assert line.keys == [row_keys().row(order(2))] * 2


def test_failed_attempts_that_only_the_bank_knows_are_counted_on(line: Line, path: Path) -> None:
    """Of the row's first two attempts nothing is known here any more."""
    much = order(2, "5000.00")
    for _ in range(2):
        pay(line, path, much)
    path.unlink()
    line.sent.clear()
    line.advanced.clear()
    summary = pay(line, path, order(3, "1.00"), much)
    row = row_keys().row(much)
    assert line.keys[1:] == [attempt_key(row, attempt) for attempt in (1, 2, 3)]
    records = kept(path)
    assert [(record["line"], record["result"], record["attempt"]) for record in records] == [
        (3, "paid", 1),
        (2, "failed", 3),
    ]
    assert (summary.counts["paid"], summary.counts["failed"]) == (1, 1)
    assert sum(line.advanced) == 2


def test_a_kept_failure_without_a_transaction_is_the_outcome(
    line: Line, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"index": 0, "outcome": "failed", "replayed": True, "transaction_id": None, "problem": None}
    monkeypatch.setattr(line.bank, "batch", lambda _: [answer])
    assert pay(line, path, order(2)).counts["failed"] == 1
    assert len(line.sent) == 1


def test_a_payment_that_only_the_bank_knew_has_no_time_of_this_command(line: Line, path: Path) -> None:
    pay(line, path, order(2))
    path.unlink()
    summary = pay(line, path, order(2))
    (record,) = kept(path)
    assert (record["result"], record["replayed"], record["settled_at"]) == ("paid", True, None)
    assert (summary.paid_now, summary.paid_before) == (0, 1)
    assert summary.replayed_transaction == record["transaction_id"]
    assert line.bank.balances[BOB] == 1


def test_rows_that_cannot_be_sent_stand_among_the_others(line: Line, path: Path) -> None:
    line.bend = lambda results: results[::-1]  # type: ignore[method-assign]
    broken = order(3, "x", faults=["amount: no number", "to: none"])
    summary = pay(line, path, order(2), broken, order(4, "2.00"))
    records = kept(path)
    assert [(record["line"], record["amount"]) for record in records] == [(2, "1.00"), (3, "x"), (4, "2.00")]
    refused = records[1]
    assert (refused["result"], refused["row"], refused["attempt"]) == ("refused", None, 0)
    assert (refused["idempotency_key"], refused["transaction_id"], refused["settled_at"]) == (
        None,
        None,
        None,
    )
    assert refused["problem"] == {"code": "invalid_row", "detail": "amount: no number; to: none"}
    assert refused["replayed"] is False
    assert (summary.counts["paid"], summary.counts["refused"], line.advanced) == (2, 1, [3])
    assert loaded(path).broken == 1


@pytest.mark.parametrize("time", [None, "soon"])
def test_a_row_whose_key_was_paid_with_another_content_is_refused(
    line: Line, path: Path, time: str | None
) -> None:
    results = loaded(path)
    results.begin(sha256="0" * 64, name="orders.csv")
    line.run(results).pay([order(2, "1.00", key="A-1")], row_keys())
    (record,) = kept(path)
    results.add([{**record, "settled_at": time}])
    line.sent.clear()
    again = [order(2, "1.0", key="A-1"), order(3, "2.00", key="A-1"), order(4, "2.00", key="A-2")]
    results = loaded(path)
    summary = line.run(results).pay(again, row_keys())
    assert [row["amount"] for row in line.sent[0]] == ["2.00"]
    assert (summary.counts["skipped"], summary.counts["refused"], summary.counts["paid"]) == (1, 1, 1)
    (refused,) = (one for one in kept(path) if one["line"] == 3)
    assert refused["problem"] == {
        "code": "paid_otherwise",
        "detail": f"A-1 was paid {'at soon' if time else 'before'} with 1.00 EUR from {ANN} to {BOB}, which "
        "is not what the row says now",
    }
    assert (refused["result"], refused["row"]) == ("refused", None)


class TestBatches:
    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(payment_run, "BATCH_LIMIT", 3)

    def sizes(self, line: Line) -> list[int]:
        return [len(rows) for rows in line.sent]

    def test_they_are_cut_by_the_number_of_rows(self, line: Line, path: Path) -> None:
        rows = [order(2), order(3, "x", faults=["x"]), *[order(number) for number in range(4, 9)]]
        pay(line, path, *rows)
        assert self.sizes(line) == [2, 3, 1]
        assert [record["line"] for record in kept(path)] == list(range(2, 9))
        assert line.advanced == [3, 3, 1]

    def test_a_batch_of_broken_rows_is_not_sent_and_kept(self, line: Line, path: Path) -> None:
        pay(line, path, *[order(number, "x", faults=["x"]) for number in (2, 3)])
        assert line.sent == []
        assert [record["line"] for record in kept(path)] == [2, 3]

    @pytest.mark.parametrize(
        ("most", "reference", "faults", "sizes"),
        [
            # A row counts 240 bytes and 4 for each character of its reference.
            (720, None, (), [3, 3, 1]),
            (721, None, (), [4, 3]),
            (1201, None, (), [6, 1]),
            (1201, "0123456789", (), [5, 2]),
            (1200, "0123456789", (), [5, 2]),
            (560, "0123456789", (), [2, 2, 2, 1]),
            (561, "0123456789", (), [3, 3, 1]),
        ],
    )
    def test_they_are_cut_by_size(
        self,
        line: Line,
        path: Path,
        monkeypatch: pytest.MonkeyPatch,
        most: int,
        reference: str | None,
        faults: tuple[str, ...],
        sizes: list[int],
    ) -> None:
        monkeypatch.setattr(payment_run, "BATCH_LIMIT", 99)
        monkeypatch.setattr(payment_run, "_BATCH_BYTES", most)
        pay(line, path, *[order(number, reference=reference) for number in range(2, 9)])
        assert self.sizes(line) == sizes

    def test_broken_rows_count_too(self, line: Line, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is kept in memory of them is as much."""
        monkeypatch.setattr(payment_run, "BATCH_LIMIT", 99)
        monkeypatch.setattr(payment_run, "_BATCH_BYTES", 480)
        rows = [order(2), order(3, "x", faults=["x"]), order(4), order(5)]
        pay(line, path, *rows)
        assert self.sizes(line) == [1, 2]
        assert line.advanced == [2, 2]

    def test_rows_of_which_all_or_none_is_paid_stay_together(
        self, line: Line, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(payment_run, "_BATCH_BYTES", 1)
        pay(line, path, *[order(number) for number in range(2, 7)], atomic_limit=5)
        assert (self.sizes(line), line.flags) == ([5], {True})

    def test_the_file_is_read_only_a_little_ahead(
        self, line: Line, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(payment_run, "BATCH_LIMIT", 1)
        kept_when_read: list[int] = []

        def rows() -> Iterator[Order]:
            for number in range(8):
                kept_when_read.append(sum(line.advanced))
                yield order(number)

        results = loaded(path)
        results.begin(sha256="0" * 64, name="orders.csv")
        line.run(results).pay(rows(), row_keys())
        assert kept_when_read == [0, 0, 0, 0, 1, 2, 3, 4]
        assert sum(line.advanced) == 8

    def test_what_was_sent_before_the_file_broke_is_kept(self, line: Line, path: Path) -> None:
        def rows() -> Iterator[Order]:
            yield from (order(number) for number in range(2, 8))
            raise REFUSED

        results = loaded(path)
        results.begin(sha256="0" * 64, name="orders.csv")
        run = line.run(results)
        with pytest.raises(CliError) as raised:
            run.pay(rows(), row_keys())
        assert raised.value is REFUSED
        assert [record["line"] for record in kept(path)] == list(range(2, 8))
        assert run.summary.counts["paid"] == 6

    def test_an_error_ends_the_run_behind_what_was_settled(
        self, line: Line, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        take = line.batch

        def refuse_the_second(transfers: Sequence[dict[str, Any]], **options: Any) -> Answer:
            if transfers[0]["amount"] == "5.00":
                raise REFUSED
            return take(transfers, **options)

        monkeypatch.setattr(line, "batch", refuse_the_second)
        with pytest.raises(CliError) as raised:
            pay(line, path, *[order(number, f"{number}.00") for number in range(2, 14)])
        assert raised.value.code == "invalid_request"
        assert [record["line"] for record in kept(path)] == [2, 3, 4]
        assert line.bank.balances[BOB] == 9

    def test_no_thread_uses_the_connection_when_the_run_has_ended(
        self, line: Line, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is closed then, and its number may be that of another file."""
        second_is_sent, first_is_told = threading.Event(), threading.Event()
        at_work: list[str] = []

        def batch(
            transfers: Sequence[dict[str, Any]], *, after: str | None, atomic: bool, confirmation: str | None
        ) -> Answer:
            assert (atomic, confirmation) == (False, None)
            if after is None:
                assert second_is_sent.wait(20)
                threading.Timer(0.2, first_is_told.set).start()
                raise REFUSED
            at_work.append(after)
            second_is_sent.set()
            assert first_is_told.wait(20)
            at_work.remove(after)
            raise CliError("away", exit_status=ExitStatus.UNREACHABLE, code="unreachable")

        monkeypatch.setattr(line, "batch", batch)
        with pytest.raises(CliError) as raised:
            pay(line, path, *[order(number) for number in range(2, 8)])
        assert raised.value.code == "invalid_request"
        assert at_work == []


class TestAtomic:
    def test_rows_that_the_bank_knows_partly_are_paid_by_themselves(self, line: Line, path: Path) -> None:
        pay(line, path, order(3, "2.00"))
        path.unlink()
        line.sent.clear()
        line.advanced.clear()
        rows = [order(number, f"{number - 1}.00") for number in (2, 3, 4)]
        summary = pay(line, path, *rows, atomic_limit=9)
        assert [[row["amount"] for row in sent] for sent in line.sent] == [
            ["1.00", "2.00", "3.00"],
            ["1.00", "3.00"],
        ]
        assert line.keys[0] == line.keys[3]
        assert (summary.counts["paid"], summary.counts["replayed"]) == (2, 1)
        assert (line.bank.balances[BOB], sum(line.advanced)) == (6, 3)

    def test_none_is_paid_if_one_cannot_be(self, line: Line, path: Path) -> None:
        summary = pay(line, path, order(2), order(3, "5000.00"), atomic_limit=9)
        assert (summary.counts["refused"], line.bank.balances[BOB], len(line.sent)) == (2, 0, 1)
        codes = [record["problem"]["code"] for record in kept(path)]
        assert codes == ["atomic_batch_refused", "insufficient_funds"]
