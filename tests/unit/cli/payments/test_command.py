"""transfer FROM TO AMOUNT: checked before it is sent, on disk before it is sent, paid at most once."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bankctl import invocation
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, Bank, CutLineError, ProblemError, Request

TRANSFER = "/transactions/transfer"


def cut(_: Request) -> None:
    raise CutLineError


def busy(_: Request) -> None:
    raise ProblemError(503, "overloaded", "transient", "too much at once")


def pending_files(home: Path) -> list[Path]:
    return sorted((home / "state" / "pending").glob("*.json"))


def test_a_transfer_moves_money_and_leaves_nothing_behind(ann: Cli, bank: Bank, home: Path) -> None:
    outcome = ann("transfer", ANN, BOB, "12.50", "--reference", "lunch", "-o", "json")
    assert (outcome.status, outcome.json["status"], outcome.json["replayed"]) == (0, "completed", False)
    assert bank.balances[BOB] == Decimal("12.50")
    assert bank.sent(TRANSFER)[0].body == {
        "from_account": ANN,
        "to_account": BOB,
        "amount": "12.50",
        "currency": "EUR",
        "reference": "lunch",
    }
    assert pending_files(home) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["4000000007", BOB, "1"], "invalid_account"),
        ([ANN, "1234567849", "1"], "invalid_account"),
        ([ANN, "12345", "1"], "invalid_account"),
        ([ANN, BOB, "1e3"], "invalid_amount"),
        ([ANN, BOB, "0.00"], "invalid_amount"),
        ([ANN, BOB, "12,50"], "invalid_amount"),
        ([ANN, BOB, "+1"], "invalid_amount"),
        ([ANN, BOB, "0x10"], "invalid_amount"),
        ([ANN, BOB, "\u0661"], "invalid_amount"),
        ([ANN, BOB, "1", "--currency", "EURO"], "invalid_currency"),
        ([ANN, BOB, "1", "--reference", "x" * 141], "invalid_reference"),
        ([ANN, BOB, "1", "--reference", "a\x1b[2J"], "invalid_reference"),
        ([ANN, BOB, "1", "--idempotency-key", "ü"], "invalid_key"),
        ([ANN, BOB, "1", "--idempotency-key", "a b"], "invalid_key"),
        ([ANN, BOB], "usage"),
        ([ANN, BOB, "-1"], "negative_number"),
    ],
)
def test_what_is_wrong_is_found_before_anything_is_sent(
    ann: Cli, bank: Bank, arguments: list[str], code: str
) -> None:
    outcome = ann("transfer", *arguments, "-o", "json")
    assert (outcome.status, outcome.problem["code"], outcome.out) == (2, code, "")
    assert bank.requests == []


def test_the_key_and_the_request_are_on_disk_when_the_request_arrives(
    ann: Cli, bank: Bank, home: Path
) -> None:
    found: list[dict[str, Any]] = []

    def look(request: Request) -> None:
        (path,) = pending_files(home)
        assert path.stat().st_mode & 0o777 == 0o600
        found.append({**json.loads(path.read_text()), "file": path.stem, "sent_key": request.key})

    bank.once(TRANSFER, look)
    assert ann("transfer", ANN, BOB, "1.00").status == 0
    assert found[0]["key"] == found[0]["file"] == found[0]["sent_key"]
    assert found[0]["request"]["to_account"] == BOB


def test_after_a_cut_line_the_same_key_is_sent_again_and_pays_once(ann: Cli, bank: Bank, home: Path) -> None:
    bank.once(TRANSFER, cut, after=True)
    outcome = ann("transfer", ANN, BOB, "5", "-o", "json")
    # The bank calls the second one a replay; to the person this command paid, and did not pay before.
    assert (outcome.status, outcome.json["replayed"]) == (0, False)
    assert outcome.err.strip() == "✓ paid"
    first, second = bank.sent(TRANSFER)
    assert first.key == second.key
    assert first.body == second.body
    assert bank.balances[BOB] == 5
    assert pending_files(home) == []


def test_an_unknown_outcome_exits_9_and_retry_settles_it(ann: Cli, bank: Bank, home: Path) -> None:
    bank.times(3, TRANSFER, cut, after=True)
    outcome = ann("transfer", ANN, BOB, "5", "-o", "json")
    assert (outcome.status, outcome.out) == (9, "")
    (path,) = pending_files(home)
    assert outcome.problem["hint"].startswith(f"`bankctl transactions retry {path.stem}`")
    assert outcome.problem["details"]["idempotency_key"] == path.stem
    assert len(bank.sent(TRANSFER)) == 3

    settled = ann("transactions", "retry", "-o", "json")
    assert (settled.status, settled.json[0]["outcome"]) == (0, "completed")
    assert settled.json[0]["replayed"] is True
    assert bank.balances[BOB] == 5
    assert pending_files(home) == []
    assert ann("transactions", "retry").status == 0


def test_a_bank_that_is_only_busy_has_done_nothing(ann: Cli, bank: Bank, home: Path) -> None:
    bank.times(3, TRANSFER, busy)
    outcome = ann("transfer", ANN, BOB, "5", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (8, "overloaded")
    assert pending_files(home) == []
    assert ann("transfer", ANN, BOB, "5").status == 0
    assert bank.balances[BOB] == 5


def test_busy_after_a_cut_line_is_still_unknown(ann: Cli, bank: Bank, home: Path) -> None:
    bank.once(TRANSFER, cut, after=True)
    bank.once(TRANSFER, lambda _: None)
    bank.requests.clear()

    def busy_later(request: Request) -> None:
        if len(bank.sent(TRANSFER)) > 1:
            busy(request)

    bank.times(9, TRANSFER, busy_later)
    assert ann("transfer", ANN, BOB, "5").status == 9
    assert len(pending_files(home)) == 1


@pytest.mark.parametrize("category", ["internal", "outcome_unknown"])
def test_an_error_that_leaves_it_open_keeps_the_transfer(
    ann: Cli, bank: Bank, home: Path, category: str
) -> None:
    def fail(_: Request) -> None:
        raise ProblemError(500 if category == "internal" else 503, category, category)

    # Only what may pass is tried again.
    bank.times({"internal": 1, "outcome_unknown": 3}[category], TRANSFER, fail)
    outcome = ann("transfer", ANN, BOB, "5", "-o", "json")
    assert outcome.status == {"internal": 1, "outcome_unknown": 9}[category]
    assert "transactions retry" in outcome.problem["hint"]
    assert len(pending_files(home)) == 1
    assert ann("transactions", "retry").status == 0
    assert bank.balances[BOB] == 5


def test_a_refusal_is_final(ann: Cli, bank: Bank, home: Path) -> None:
    outcome = ann("transfer", ANN, BOB, "5000", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (6, "insufficient_funds")
    assert outcome.problem["details"]["transaction_id"]
    assert pending_files(home) == []
    assert len(bank.sent(TRANSFER)) == 1


def test_a_key_of_ones_own_pays_once(ann: Cli, bank: Bank) -> None:
    for replayed in (False, True):
        outcome = ann("transfer", ANN, BOB, "5", "--idempotency-key", "rent/2026-12", "-o", "json")
        assert (outcome.status, outcome.json["replayed"]) == (0, replayed)
    assert bank.balances[BOB] == 5
    assert ann("transfer", ANN, BOB, "6", "--idempotency-key", "rent/2026-12").status == 6


def test_a_key_that_is_still_open_is_not_given_to_another_transfer(ann: Cli, bank: Bank, home: Path) -> None:
    bank.times(3, TRANSFER, cut)
    assert ann("transfer", ANN, BOB, "5", "--idempotency-key", "rent").status == 9
    outcome = ann("transfer", ANN, BOB, "6", "--idempotency-key", "rent", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, "idempotency_key_pending")
    assert [path.stem for path in pending_files(home)] == ["rent"]
    assert ann("transfer", ANN, BOB, "5", "--idempotency-key", "rent").status == 0
    assert bank.balances[BOB] == 5


def test_several_open_transfers_are_finished_by_name_or_all(ann: Cli, bank: Bank, home: Path) -> None:
    bank.times(6, TRANSFER, cut)
    for key in ("one", "two"):
        assert ann("transfer", ANN, BOB, "1", "--idempotency-key", key).status == 9
    outcome = ann("transactions", "retry", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, "several_pending_transfers")
    assert ann("transactions", "retry", "unheard-of").status == 3
    assert ann("transactions", "retry", "two").status == 0
    assert ann("transactions", "retry", "--all").status == 0
    assert pending_files(home) == []
    assert bank.balances[BOB] == 2


def test_a_retry_that_cannot_reach_the_bank_keeps_the_transfer(ann: Cli, bank: Bank, home: Path) -> None:
    bank.times(3, TRANSFER, cut)
    assert ann("transfer", ANN, BOB, "5").status == 9
    bank.times(3, TRANSFER, busy)
    assert ann("transactions", "retry").status == 8
    assert len(pending_files(home)) == 1


def test_funding_is_kept_and_retried_as_well(ann: Cli, bank: Bank, home: Path) -> None:
    bank.times(3, f"/accounts/{ANN}/fund", cut)
    assert ann("admin", "fund", ANN, "100", "--idempotency-key", "cash").status == 9
    assert [path.stem for path in pending_files(home)] == ["cash"]
    assert ann("transactions", "retry").status == 0
    assert {request.key for request in bank.sent(f"/accounts/{ANN}/fund")} == {"cash"}


def test_a_dry_run_pays_nothing_and_fails_if_it_would(ann: Cli, bank: Bank, home: Path) -> None:
    fine = ann("transfer", ANN, BOB, "5", "--dry-run", "-o", "json")
    assert (fine.status, fine.json["outcome"]) == (0, "completed")
    poor = ann("transfer", ANN, BOB, "5000", "--dry-run", "-o", "json")
    assert (poor.status, poor.json["outcome"], poor.problem["code"]) == (6, "failed", "insufficient_funds")
    assert bank.sent(TRANSFER) == []
    assert not (home / "state" / "pending").exists()


class TestOnATerminal:
    @pytest.fixture(autouse=True)
    def terminal(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            invocation.Invocation, "interactive", property(lambda run: not run.no_input), raising=True
        )
        monkeypatch.delenv("BANKCTL_YES")

    def test_both_names_and_the_balance_after_are_shown_before_asking(self, ann: Cli, bank: Bank) -> None:
        outcome = ann("transfer", ANN, BOB, "12.50", stdin="y\n")
        assert outcome.status == 0
        assert "Ann Lee" in outcome.err
        assert "Bob [/] Ray" in outcome.err
        assert "987.50 EUR" in outcome.err
        assert bank.balances[BOB] == Decimal("12.50")

    @pytest.mark.parametrize("answer", ["n\n", "\n", ""])
    def test_anything_but_yes_pays_nothing(self, ann: Cli, bank: Bank, answer: str) -> None:
        assert ann("transfer", ANN, BOB, "12.50", stdin=answer).status == 130
        assert bank.sent(TRANSFER) == []

    def test_what_would_be_refused_is_not_asked(self, ann: Cli, bank: Bank) -> None:
        assert ann("transfer", ANN, BOB, "5000", stdin="y\n").status == 6
        assert bank.sent(TRANSFER) == []

    @pytest.mark.parametrize("option", ["--yes", "-y"])
    def test_scripts_are_not_asked(self, ann: Cli, bank: Bank, option: str) -> None:
        assert ann("transfer", ANN, BOB, "12.50", option).status == 0
        assert bank.sent("/transactions/preview") == []
