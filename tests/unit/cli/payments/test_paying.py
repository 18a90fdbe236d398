"""transfer --file: every row once, however often and wherever the file is run."""

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Cli, Outcome
from tests.unit.cli.played_bank import ANN, BOB, Bank, CutLineError, ProblemError, Request

BATCH = "/transactions/batch"
HEADER = "order_id,from,to,amount,currency,reference\n"


def orders(path: Path, *rows: str, header: str = HEADER) -> str:
    path.write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def small(tmp_path: Path) -> str:
    rows = [f"{number},{ANN},{BOB},1.00,EUR,rent" for number in range(3)]
    return orders(tmp_path / "orders.csv", *rows)


@pytest.fixture
def large(tmp_path: Path) -> str:
    rows = [f"{number},{ANN},{BOB},0.01,EUR," for number in range(1100)]
    return orders(tmp_path / "large.csv", *rows)


def kept_rows(outcome: Outcome) -> list[dict[str, Any]]:
    """The rows of a run's results, without the lines that say whose they are and which file was paid."""
    lines = Path(outcome.json["results_file"]).read_text().splitlines()
    return [record for record in map(json.loads, lines) if "line" in record]


def cut(_: Request) -> None:
    raise CutLineError


def test_every_row_is_paid_and_the_summary_says_so(ann: Cli, bank: Bank, small: str) -> None:
    outcome = ann("transfer", "--file", small, "-o", "json")
    assert outcome.status == 0, outcome.err
    assert outcome.json["summary"] == {
        "rows": 3,
        "paid": 3,
        "failed": 0,
        "refused": 0,
        "skipped": 0,
        "replayed": 0,
        "amounts": {"EUR": {"paid": "3.00"}},
    }
    assert bank.balances[BOB] == 3
    rows = kept_rows(outcome)
    assert [row["extra"]["order_id"] for row in rows] == ["0", "1", "2"]
    assert [row["line"] for row in rows] == [2, 3, 4]


def test_equal_rows_are_two_payments(ann: Cli, bank: Bank, tmp_path: Path) -> None:
    row = f"1,{ANN},{BOB},1.00,EUR,rent"
    assert ann("transfer", "--file", orders(tmp_path / "twice.csv", row, row)).status == 0
    assert bank.balances[BOB] == 2


def test_the_same_file_again_sends_nothing(ann: Cli, bank: Bank, small: str) -> None:
    assert ann("transfer", "--file", small).status == 0
    again = ann("transfer", "--file", small, "-o", "json")
    assert (again.status, again.json["summary"]["skipped"], again.json["summary"]["paid"]) == (0, 3, 0)
    assert len(bank.sent(BATCH)) == 1


def test_the_same_file_on_a_fresh_machine_pays_nothing_twice(
    ann: Cli, bank: Bank, small: str, home: Path
) -> None:
    assert ann("transfer", "--file", small).status == 0
    shutil.rmtree(home / "state" / "transfers")
    again = ann("transfer", "--file", small, "--resume", "-o", "json")
    summary = again.json["summary"]
    assert (again.status, summary["replayed"], summary["paid"]) == (0, 3, 0)
    assert "3 of 3 rows were paid at 2026-11-23" in again.err
    assert summary["amounts"] == {"EUR": {"replayed": "3.00"}}
    assert bank.balances[BOB] == 3


def test_another_run_name_pays_anew(ann: Cli, bank: Bank, small: str) -> None:
    for run in ("2026-11", "2026-12", "2026-12"):
        assert ann("transfer", "--file", small, "--run", run).status == 0
    assert bank.balances[BOB] == 6


@pytest.mark.parametrize("run", ["a/b", "", " ", "x" * 201, "a\nb"])
def test_a_run_has_a_name_that_can_be_written(ann: Cli, bank: Bank, small: str, run: str) -> None:
    outcome = ann("transfer", "--file", small, "--run", run, "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, "invalid_run")
    assert bank.requests == []


def test_a_broken_row_is_reported_with_its_line_and_stops_no_other(
    ann: Cli, bank: Bank, tmp_path: Path
) -> None:
    path = orders(
        tmp_path / "orders.csv",
        f"1,{ANN},{BOB},1.00,EUR,fine",
        f"2,{ANN},1234567849,1.00,EUR,swapped digits",
        f"3,{ANN},{BOB},1e2,EUR,exponent",
        f"4,{ANN},{BOB},-1,EUR,negative",
        f"5,{ANN},{BOB},1.00,euros,currency",
        f"6,{ANN},{BOB}",
        "",
        f"8,{ANN},{BOB},1.00,EUR,fine too",
    )
    outcome = ann("transfer", "--file", path, "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (6, "rows_not_paid")
    assert outcome.json["summary"]["paid"] == 2
    assert [row["line"] for row in outcome.json["failed_rows"]] == [3, 4, 5, 6, 7]
    assert "check digit" in outcome.json["failed_rows"][0]["problem"]["detail"]
    assert bank.balances[BOB] == 2


def test_a_row_that_failed_is_tried_anew_and_pays_once(
    ann: Cli, bank: Bank, tmp_path: Path, home: Path
) -> None:
    """Its first attempt has used up its key, as this machine or only the bank knows."""
    path = orders(tmp_path / "orders.csv", f"1,{ANN},{BOB},9999.00,EUR,much", f"2,{ANN},{BOB},1.00,EUR,x")
    for skipped in (0, 1):
        outcome = ann("transfer", "--file", path, "-o", "json")
        assert (outcome.status, outcome.json["summary"]["skipped"]) == (6, skipped)
        (row,) = outcome.json["failed_rows"]
        assert (row["line"], row["result"], row["problem"]["code"]) == (2, "failed", "insufficient_funds")
        assert row["attempt"] == 1 + skipped
    shown = ann("transfer", "--file", path)
    assert "insufficient_funds" in shown.out
    assert "9999.00" in shown.out
    bank.balances[ANN] += 10_000
    shutil.rmtree(home / "state" / "transfers")
    elsewhere = ann("transfer", "--file", path, "--resume", "-o", "json")
    summary = elsewhere.json["summary"]
    assert (elsewhere.status, summary["paid"], summary["replayed"], summary["failed"]) == (0, 1, 1, 0)
    assert bank.balances[BOB] == 10_000
    assert ann("transfer", "--file", path, "-o", "json").json["summary"]["skipped"] == 2
    assert bank.balances[BOB] == 10_000


def test_spreadsheet_files_are_read(ann: Cli, bank: Bank, tmp_path: Path) -> None:
    path = tmp_path / "sheet.csv"
    text = f'Reference,Currency,Amount,To,From\r\n"rent, ""warm""",eur,2.00,{BOB},{ANN}\r\n'
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert ann("transfer", "--file", str(path)).status == 0
    assert bank.sent(BATCH)[0].body["transfers"][0]["reference"] == 'rent, "warm"'


def test_bytes_that_are_no_text_break_only_their_row(ann: Cli, bank: Bank, tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    rows = f"1,{ANN},{BOB},1.00,EUR,caf\xe9\n2,{ANN},{BOB},1.00,EUR,tea\n"
    path.write_bytes((HEADER + rows).encode("latin-1"))
    outcome = ann("transfer", "--file", str(path), "-o", "json")
    assert (outcome.status, outcome.json["summary"]["paid"], outcome.json["summary"]["refused"]) == (6, 1, 1)


@pytest.mark.parametrize(
    ("header", "code"),
    [("from,to,amount\n", "missing_columns"), ("from,to,amount,currency,to\n", "duplicate_columns")],
)
def test_a_file_without_usable_header_is_refused(
    ann: Cli, bank: Bank, tmp_path: Path, header: str, code: str
) -> None:
    outcome = ann("transfer", "--file", orders(tmp_path / "x.csv", header=header), "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, code)
    assert ann("transfer", "--file", str(tmp_path / "missing.csv")).status == 2
    assert bank.sent(BATCH) == []


def test_a_run_that_was_stopped_goes_on_where_it_stopped(ann: Cli, bank: Bank, large: str) -> None:
    def stop_behind_the_first(request: Request) -> None:
        if request.path == BATCH and len(bank.settled) > 500:
            raise CutLineError

    bank.after_hooks.append(stop_behind_the_first)
    stopped = ann("transfer", "--file", large, "--wait", "0", "-o", "json")
    assert stopped.status == 9
    assert "same command again" in stopped.problem["hint"]
    bank.after_hooks.clear()
    bank.requests.clear()
    sent_before = len(bank.settled)
    resumed = ann("transfer", "--file", large, "-o", "json")
    assert resumed.status == 0, resumed.err
    summary = resumed.json["summary"]
    assert (summary["skipped"], summary["replayed"]) == (500, sent_before - 500)
    assert summary["paid"] == 1100 - sent_before
    assert {len(request.body["transfers"]) for request in bank.sent(BATCH)} == {500, 100}
    assert bank.balances[BOB] == Decimal("11.00")


def test_batches_on_their_way_together_are_paid_in_the_order_of_the_file(
    ann: Cli, bank: Bank, tmp_path: Path
) -> None:
    rows = [f"{number},{ANN},{BOB},0.01,EUR," for number in range(4200)]
    outcome = ann("transfer", "--file", orders(tmp_path / "long.csv", *rows), "-o", "json")
    assert outcome.status == 0, outcome.err
    results = kept_rows(outcome)
    assert [row["line"] for row in results] == list(range(2, 4202))
    assert [row["idempotency_key"] for row in results] == list(bank.settled)


def test_a_bank_that_knows_no_batch_of_another_process_is_paid_all_the_same(
    ann: Cli, bank: Bank, tmp_path: Path
) -> None:
    def forgetful(request: Request) -> None:
        if request.path == BATCH and "after" in request.body:
            raise ProblemError(409, "batch_before_not_settled", "conflict")

    bank.hooks.append(forgetful)
    rows = [f"{number},{ANN},{BOB},0.01,EUR," for number in range(4200)]
    outcome = ann("transfer", "--file", orders(tmp_path / "long.csv", *rows), "-o", "json")
    assert (outcome.status, outcome.json["summary"]["paid"]) == (0, 4200), outcome.err
    followers = [request for request in bank.sent(BATCH) if "after" in request.body]
    assert 0 < len(followers) <= 5, "it goes on one batch at a time when that has failed a few times"
    keys = [row["idempotency_key"] for request in bank.sent(BATCH) for row in request.body["transfers"]]
    assert list(dict.fromkeys(keys).keys() - bank.settled.keys()) == []
    assert [row["idempotency_key"] for row in kept_rows(outcome)] == list(bank.settled)


def test_nothing_is_sent_behind_a_batch_that_has_failed(ann: Cli, bank: Bank, tmp_path: Path) -> None:
    rows = [f"{number},{ANN},{BOB},0.01,EUR," for number in range(2600)]
    path = orders(tmp_path / "long.csv", *rows)

    def unreachable(request: Request) -> None:
        first = request.path == BATCH and "after" not in request.body and not bank.settled
        if first:
            raise ProblemError(422, "invalid_request", "invalid")

    bank.hooks.append(unreachable)
    outcome = ann("transfer", "--file", path, "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, "invalid_request")
    assert bank.settled == {}


@pytest.mark.parametrize("watched", [True, False], ids=["looked over", "read while it is paid"])
@pytest.mark.parametrize("limit", ["_ROWS_KEPT", "_BYTES_KEPT"])
def test_a_file_of_more_than_is_kept_is_read_again(
    ann: Cli, bank: Bank, large: str, monkeypatch: pytest.MonkeyPatch, *, watched: bool, limit: str
) -> None:
    monkeypatch.setattr(f"bankctl.payments.file.{limit}", 1099)
    monkeypatch.setattr("bankctl.payments.paying.progress_is_shown", lambda: watched)
    outcome = ann("transfer", "--file", large, "-o", "json")
    assert (outcome.status, outcome.json["summary"]["paid"]) == (0, 1100)
    assert bank.balances[BOB] == Decimal("11.00")


def test_results_keep_what_is_no_text(ann: Cli, bank: Bank, tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    header = "from,to,amount,currency,reference,note\n"
    row = f'{ANN},{BOB},1.00,EUR,tea,"two\nlines \xe9"\n'
    path.write_bytes((header + row).encode("latin-1"))
    outcome = ann("transfer", "--file", str(path), "-o", "json")
    assert (outcome.status, outcome.json["summary"]["paid"]) == (0, 1)
    (kept,) = kept_rows(outcome)
    assert kept["extra"] == {"note": "two\nlines \udce9"}


def test_a_results_line_that_was_cut_by_a_crash_is_written_again(ann: Cli, bank: Bank, small: str) -> None:
    path = Path(ann("transfer", "--file", small, "-o", "json").json["results_file"])
    path.write_bytes(path.read_bytes()[:-40])
    again = ann("transfer", "--file", small, "-o", "json")
    assert (again.json["summary"]["skipped"], again.json["summary"]["replayed"]) == (2, 1)
    assert len(kept_rows(again)) == 3
    assert bank.balances[BOB] == 3


def test_a_bank_that_is_away_for_a_moment_is_waited_for(ann: Cli, bank: Bank, small: str) -> None:
    bank.times(4, BATCH, cut, after=True)
    outcome = ann("transfer", "--file", small, "-o", "json")
    assert (outcome.status, outcome.json["summary"]["paid"]) == (0, 3)
    keys = {
        tuple(row["idempotency_key"] for row in request.body["transfers"]) for request in bank.sent(BATCH)
    }
    assert len(keys) == 1
    assert bank.balances[BOB] == 3


def test_a_row_whose_outcome_is_unknown_is_asked_for_again(
    ann: Cli, bank: Bank, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle, asked = bank.batch, []

    def unsure(transfers: list[dict[str, Any]]) -> list[dict[str, Any]]:
        results = settle(transfers)
        asked.append(len(transfers))
        if len(asked) == 1:
            problem = {"code": "outcome_unknown", "category": "outcome_unknown"}
            results[1] |= {"outcome": "unknown", "transaction_id": None, "problem": problem}
        return results

    monkeypatch.setattr(bank, "batch", unsure)
    outcome = ann("transfer", "--file", small, "-o", "json")
    assert (outcome.status, outcome.json["summary"]["paid"], asked) == (0, 3, [3, 3])
    assert bank.balances[BOB] == 3


def test_a_bank_that_stays_away_ends_the_run_with_8(ann: Cli, bank: Bank, small: str) -> None:
    def busy(_: Request) -> None:
        raise ProblemError(503, "unavailable", "transient")

    bank.times(99, BATCH, busy)
    outcome = ann("transfer", "--file", small, "--wait", "0", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (8, "unavailable")


def test_the_results_of_another_file_are_not_overwritten(
    ann: Cli, bank: Bank, small: str, large: str, tmp_path: Path
) -> None:
    results = str(tmp_path / "results.jsonl")
    assert ann("transfer", "--file", small, "--results", results).status == 0
    outcome = ann("transfer", "--file", large, "--results", results, "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, "results_file_of_another_run")


def test_no_progress_bar_on_a_pipe(ann: Cli, small: str) -> None:
    outcome = ann("transfer", "--file", small)
    assert "Paying" not in outcome.err
    assert "\x1b" not in outcome.out + outcome.err


def test_long_references_make_smaller_requests_than_the_bank_refuses(
    ann: Cli, bank: Bank, tmp_path: Path
) -> None:
    rows = [f"{number},{ANN},{BOB},0.01,EUR,{'€' * 140}" for number in range(500)]
    assert ann("transfer", "--file", orders(tmp_path / "long.csv", *rows)).status == 0
    sizes = [len(json.dumps(request.body, ensure_ascii=False).encode()) for request in bank.sent(BATCH)]
    assert len(sizes) > 1
    assert max(sizes) < 256 * 1024
