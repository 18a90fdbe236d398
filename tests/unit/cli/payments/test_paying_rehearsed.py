"""transfer --file --dry-run tells what would happen and pays nothing; --atomic pays all rows or none."""

import csv
import io
import shutil
from decimal import Decimal
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli, Outcome
from tests.unit.cli.played_bank import ANN, BOB, Bank, CutLineError, Request

BATCH, PREVIEW = "/transactions/batch", "/transactions/batch/preview"
HEADER = "order_id,from,to,amount,currency,reference\n"


def row(number: object, amount: str = "1.00", sender: str = ANN, receiver: str = BOB) -> str:
    return f"{number},{sender},{receiver},{amount},EUR,rent\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "orders.csv"


def run(cli: Cli, file: Path, *options: str) -> Outcome:
    return cli("transfer", "--file", str(file), "-o", "json", *options)


class TestRehearsals:
    def test_every_row_is_told_with_names_funds_and_faults(
        self, ann: Cli, bank: Bank, file: Path, home: Path
    ) -> None:
        file.write_text(HEADER + row(1, "900.00") + row(2, "x") + row(3, "200.00") + row(4, "100.00"))
        outcome = run(ann, file, "--dry-run")
        assert (outcome.status, outcome.problem["code"]) == (6, "rows_would_not_be_paid")
        told = [
            (row["line"], row["outcome"], row["from_name"], row["to_name"], row["balance_after"])
            for row in outcome.json["rows"]
        ]
        names = ("Ann Lee", "Bob [/] Ray")
        assert told == [
            (2, "would_be_paid", *names, "100.00"),
            (3, "would_not_be_paid", None, None, None),
            (4, "would_not_be_paid", *names, None),
            (5, "would_be_paid", *names, "0.00"),
        ]
        assert "amount" in outcome.json["rows"][1]["problem"]["detail"]
        assert outcome.json["rows"][2]["problem"]["code"] == "insufficient_funds"
        assert outcome.json["summary"] == {
            "rows": 4,
            "would_be_paid": 2,
            "paid_before": 0,
            "would_not_be_paid": 2,
            "totals": {"EUR": "1000.00"},
        }
        assert bank.settled == {}
        assert bank.sent(BATCH) == []
        assert not list((home / "state").rglob("*.jsonl"))
        assert [path.name for path in file.parent.iterdir() if path != home] == ["orders.csv"]

    def test_sums_by_account_count_what_comes_in(self, ann: Cli, bank: Bank, file: Path) -> None:
        back = row(2, "30.00", BOB, ANN)
        file.write_text(HEADER + row(1, "100.00") + back + row(3, "930.00"))
        outcome = run(ann, file, "--dry-run")
        assert (outcome.status, outcome.json["summary"]["would_be_paid"]) == (0, 3)
        assert outcome.json["accounts"] == [
            {
                "account": BOB,
                "name": "Bob [/] Ray",
                "currency": "EUR",
                "out": "30.00",
                "in": "1030.00",
                "balance_after": "1000.00",
            },
            {
                "account": ANN,
                "name": "Ann Lee",
                "currency": "EUR",
                "out": "1030.00",
                "in": "30.00",
                "balance_after": "0.00",
            },
        ]

    def test_a_long_file_is_one_row_of_payments(self, ann: Cli, bank: Bank, file: Path) -> None:
        """What a slice spends, the next one has not."""
        file.write_text(HEADER + "".join(row(number, "1.00") for number in range(1100)))
        outcome = run(ann, file, "--dry-run")
        assert outcome.status == 6, outcome.err
        assert outcome.json["summary"]["would_be_paid"] == 1000
        assert [row["line"] for row in outcome.json["rows"]] == list(range(2, 1102))
        first, second, third = bank.sent(PREVIEW)
        assert first.body["carried"] == {}
        assert second.body["carried"] == {ANN: "-500.00", BOB: "500.00"}
        assert third.body["carried"] == {ANN: "-1000.00", BOB: "1000.00"}

    @pytest.mark.parametrize("remembered", [True, False])
    def test_what_was_paid_or_has_failed_is_told_as_paying_would_find_it(
        self, ann: Cli, bank: Bank, file: Path, home: Path, *, remembered: bool
    ) -> None:
        file.write_text(HEADER + row(1) + row(2, "2000.00"))
        assert run(ann, file).status == 6
        bank.balances[ANN] += 5000
        if not remembered:
            shutil.rmtree(home / "state" / "transfers")
        rehearsed = run(ann, file, "--dry-run")
        assert [row["outcome"] for row in rehearsed.json["rows"]] == ["paid_before", "would_be_paid"]
        assert rehearsed.json["rows"][0]["paid_at"]
        paid = run(ann, file, "--resume").json["summary"]
        assert (paid["paid"], paid["skipped"] + paid["replayed"]) == (1, 1)

    def test_it_tells_that_paying_asks_for_a_decision(self, ann: Cli, bank: Bank, file: Path) -> None:
        file.write_text(HEADER + row(1) + row(2, "2.00"))
        assert run(ann, file).status == 0
        file.write_text(HEADER + row(1) + row(2, "2.00") + row(3, "3.00"))
        rehearsed = run(ann, file, "--dry-run")
        assert rehearsed.status == 0
        assert "2 of these 3 rows were paid at" in rehearsed.err
        assert "To pay it, give --resume or --run NAME" in rehearsed.err

    def test_standard_input_needs_no_name(self, ann: Cli, bank: Bank) -> None:
        outcome = ann("transfer", "--file", "-", "--dry-run", "-o", "csv", stdin=HEADER + row(1) + row(2))
        assert outcome.status == 0
        rows = list(csv.DictReader(io.StringIO(outcome.out)))
        assert [(row["line"], row["outcome"]) for row in rows] == [
            ("2", "would_be_paid"),
            ("3", "would_be_paid"),
        ]

    def test_it_needs_no_consent(self, ann: Cli, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("BANKCTL_YES")
        file.write_text(HEADER + row(1))
        shown = ann("transfer", "--file", str(file), "--dry-run")
        assert shown.status == 0
        assert "Bob [/] Ray" in shown.out
        assert "1 of 1 rows would be paid, 1.00 EUR" in shown.err
        assert "nothing was paid: --dry-run" in shown.err


class TestAtomicFiles:
    def test_all_rows_go_at_once(self, ann: Cli, bank: Bank, file: Path) -> None:
        file.write_text(HEADER + "".join(row(number, "0.01") for number in range(1200)))
        outcome = run(ann, file, "--atomic")
        assert (outcome.status, outcome.json["summary"]["paid"]) == (0, 1200)
        (request,) = bank.sent(BATCH)
        assert request.body["atomic"] is True

    def test_a_row_that_cannot_be_paid_stops_all_others(self, ann: Cli, bank: Bank, file: Path) -> None:
        file.write_text(HEADER + row(1) + row(2, "9999.00") + row(3))
        for _ in range(2):
            outcome = run(ann, file, "--atomic")
            assert (outcome.status, outcome.json["summary"]["refused"]) == (6, 3)
            assert "no row was paid" in outcome.problem["detail"]
            codes = [row["problem"]["code"] for row in outcome.json["failed_rows"]]
            assert codes == ["atomic_batch_refused", "insufficient_funds", "atomic_batch_refused"]
            assert (bank.settled, bank.balances[BOB]) == ({}, 0)
        assert Path(outcome.json["failed_rows_file"]).read_text().count("\n") == 4
        file.write_text(HEADER + row(1) + row(2, "9.00") + row(3))
        assert run(ann, file, "--atomic").json["summary"]["paid"] == 3
        assert bank.balances[BOB] == 11

    def test_a_broken_row_is_found_before_anything_is_sent(self, ann: Cli, bank: Bank, file: Path) -> None:
        file.write_text(HEADER + row(1) + row(2, "x"))
        outcome = run(ann, file, "--atomic")
        assert (outcome.status, outcome.problem["code"]) == (6, "rows_not_paid")
        assert "line 3: amount" in outcome.problem["detail"]
        assert bank.sent(BATCH) == []

    @pytest.mark.parametrize("remembered", [True, False])
    def test_rows_that_were_settled_before_do_not_hold_back_the_others(
        self, ann: Cli, bank: Bank, file: Path, home: Path, *, remembered: bool
    ) -> None:
        file.write_text(HEADER + row(1) + row(2, "2000.00") + row(3, "3.00"))
        assert run(ann, file).status == 6
        bank.balances[ANN] += 5000
        if not remembered:
            shutil.rmtree(home / "state" / "transfers")
        file.write_text(HEADER + row(1) + row(2, "2000.00") + row(3, "3.00") + row(4, "4.00"))
        outcome = run(ann, file, "--atomic", "--resume")
        assert (outcome.status, outcome.json["summary"]["paid"]) == (0, 2)
        assert bank.balances[BOB] == Decimal(2008)
        assert len(bank.settled) == 5, "the second row failed once, and each was paid once"

    def test_too_many_rows_are_refused_before_anything_is_sent(
        self, ann: Cli, bank: Bank, file: Path
    ) -> None:
        file.write_text(HEADER + "".join(row(number, "0.01") for number in range(4001)))
        for more in ((), ("--dry-run",)):
            outcome = run(ann, file, "--atomic", *more)
            assert (outcome.status, outcome.problem["code"]) == (2, "too_many_rows")
        assert bank.sent(BATCH) == []

    def test_a_refusal_after_a_cut_line_is_not_taken_for_the_end(
        self, ann: Cli, bank: Bank, file: Path
    ) -> None:
        """The first sending may still be at work; only asking once more tells."""
        file.write_text(HEADER + row(1) + row(2, "9999.00"))

        def cut(_: Request) -> None:
            raise CutLineError

        bank.once(BATCH, cut)
        outcome = run(ann, file, "--atomic", "--wait", "0")
        assert (outcome.status, outcome.problem["code"]) == (9, "outcome_unknown")
        assert run(ann, file, "--atomic").status == 6

    def test_a_row_that_was_paid_otherwise_stops_all_others(self, ann: Cli, bank: Bank, file: Path) -> None:
        file.write_text(HEADER + row("A-1"))
        assert run(ann, file, "--key-column", "order_id").status == 0
        file.write_text(HEADER + row("A-1", "2.00") + row("A-2"))
        outcome = run(ann, file, "--key-column", "order_id", "--atomic")
        assert (outcome.status, outcome.problem["code"]) == (6, "rows_not_paid")
        assert bank.balances[BOB] == 1
