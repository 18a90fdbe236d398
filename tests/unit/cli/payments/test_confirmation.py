"""Payments that the bank wants confirmed: people read what a code is for, and nothing moves without one."""

from decimal import Decimal
from pathlib import Path

import pytest

from bankctl import invocation
from daemons.contracts.vocabulary import batch_digest
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, Bank

CONFIRM, TRANSFER, BATCH = "/auth/payment-confirmations", "/transactions/transfer", "/transactions/batch"
IBAN = "DE89370400440532013000"


@pytest.fixture(autouse=True)
def careful(bank: Bank) -> None:
    bank.confirm_above = Decimal(10)
    bank.totp = None


@pytest.fixture
def factor(ann: Cli, bank: Bank) -> None:
    """Ann has a second factor since she logged in."""
    bank.totp = "123456"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    interactive = property(lambda run: not run.no_input)
    monkeypatch.setattr(invocation.Invocation, "interactive", interactive, raising=True)


def pending(home: Path) -> list[Path]:
    return list((home / "state" / "pending").glob("*"))


@pytest.mark.usefixtures("factor", "terminal")
def test_a_code_is_asked_for_with_amount_and_payee(ann: Cli, bank: Bank, home: Path) -> None:
    outcome = ann("transfer", ANN, BOB, "12.50", "--reference", "rent", stdin="123456\n")
    assert outcome.status == 0, outcome.err
    assert f"your second factor confirms 12.50 EUR to {BOB}" in outcome.err
    assert bank.balances[BOB] == Decimal("12.50")
    first, second = bank.sent(TRANSFER)
    assert first.key == second.key
    assert "Payment-Confirmation" not in first.headers
    assert bank.confirmations[second.headers["Payment-Confirmation"]] == {
        "from_account": ANN,
        "to_account": BOB,
        "amount": "12.50",
        "currency": "EUR",
        "idempotency_key": second.key,
    }
    assert pending(home) == []


@pytest.mark.usefixtures("factor", "terminal")
def test_a_withdrawal_shows_whom_it_pays(ann: Cli, bank: Bank) -> None:
    arguments = ["withdraw", "12.50", "--to", IBAN, "--name", "Zoe Lang", "--from", ANN]
    outcome = ann(*arguments, stdin="123456\n")
    assert outcome.status == 0, outcome.err
    assert f"12.50 EUR to Zoe Lang ({IBAN})" in outcome.err
    assert bank.balances[ANN] == Decimal("987.50")


@pytest.mark.usefixtures("factor", "terminal")
def test_what_needs_no_code_asks_for_none(ann: Cli, bank: Bank) -> None:
    assert ann("transfer", ANN, BOB, "10").status == 0
    assert bank.sent(CONFIRM) == []


@pytest.mark.usefixtures("factor", "terminal")
@pytest.mark.parametrize(("typed", "status"), [("000000\n", 4), ("", 130)])
def test_a_wrong_code_or_none_moves_nothing(
    ann: Cli, bank: Bank, home: Path, typed: str, status: int
) -> None:
    assert ann("transfer", ANN, BOB, "12.50", stdin=typed).status == status
    assert bank.balances[BOB] == 0
    assert len(bank.sent(TRANSFER)) == 1
    # The bank has nothing under the key, so there is nothing to settle.
    assert pending(home) == []


@pytest.mark.usefixtures("factor")
def test_a_script_gives_the_code_on_stdin_or_moves_nothing(ann: Cli, bank: Bank, home: Path) -> None:
    without = ann("transfer", ANN, BOB, "12.50", "-o", "json")
    assert (without.status, without.problem["code"]) == (2, "code_needed")
    assert "--code-stdin" in without.problem["hint"]
    assert (bank.balances[BOB], pending(home)) == (0, [])
    assert ann("transfer", ANN, BOB, "12.50", "--code-stdin", stdin="123456\n").status == 0
    assert bank.balances[BOB] == Decimal("12.50")


@pytest.mark.usefixtures("terminal")
def test_without_a_second_factor_no_code_is_asked_for(ann: Cli, bank: Bank, home: Path) -> None:
    outcome = ann("transfer", ANN, BOB, "12.50", "-o", "json", stdin="123456\n")
    assert (outcome.status, outcome.problem["code"]) == (7, "totp_not_active")
    assert outcome.problem["hint"] == "`bankctl auth totp enroll` sets one up"
    assert (bank.balances[BOB], pending(home)) == (0, [])


@pytest.mark.usefixtures("factor", "terminal")
def test_an_api_key_is_told_that_it_cannot_confirm(
    cli: Cli, bank: Bank, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank.api_key = "bk_" + "k" * 43
    url = cli("config", "list", "-o", "json").json[0]["url"]
    monkeypatch.setenv("BANKCTL_TOKEN", f"{bank.api_key}@{url}")
    outcome = cli("transfer", ANN, BOB, "12.50", "-o", "json", stdin="123456\n")
    assert (outcome.status, outcome.problem["code"]) == (5, "payment_confirmation_required")
    assert "BANKCTL_TOKEN" in outcome.problem["hint"]
    assert (bank.balances[BOB], bank.sent(CONFIRM), pending(home)) == (0, [], [])


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "orders.csv"
    amounts = ("20.00", "1.00", "30.50", "2.00")
    path.write_text("from,to,amount,currency\n" + "".join(f"{ANN},{BOB},{one},EUR\n" for one in amounts))
    return str(path)


@pytest.mark.usefixtures("factor", "terminal")
def test_one_code_confirms_all_rows_of_a_file_that_need_it(ann: Cli, bank: Bank, rows: str) -> None:
    outcome = ann("transfer", "--file", rows, "-o", "json", stdin="123456\n")
    assert outcome.status == 0, outcome.err
    assert "confirms 2 rows, 50.50 EUR together" in outcome.err
    assert outcome.json["summary"]["paid"] == 4
    assert bank.balances[BOB] == Decimal("53.50")
    first, second = bank.sent(BATCH)
    assert len(first.body["transfers"]) == 4
    assert bank.confirmations[second.headers["Payment-Confirmation"]] == {
        "digest": batch_digest(second.body["transfers"]),
        "rows": 2,
        "totals": {"EUR": "50.50"},
    }
    # The next command pays nothing twice and asks nothing.
    again = ann("transfer", "--file", rows, "-o", "json")
    assert (again.status, again.json["summary"]["skipped"]) == (0, 4)


@pytest.mark.usefixtures("factor")
@pytest.mark.parametrize("code", ["000000", None])
def test_without_the_right_code_those_rows_are_not_paid_and_can_be_later(
    ann: Cli, bank: Bank, rows: str, code: str | None
) -> None:
    given = {} if code is None else {"stdin": f"{code}\n"}
    options = [] if code is None else ["--code-stdin"]
    outcome = ann("transfer", "--file", rows, *options, "-o", "json", **given)
    assert outcome.status == 6
    assert bank.balances[BOB] == 3
    failed = outcome.json["failed_rows"]
    assert [row["problem"]["code"] for row in failed] == ["payment_confirmation_required"] * 2
    later = ann("transfer", "--file", rows, "--code-stdin", "-o", "json", stdin="123456\n")
    assert (later.status, bank.balances[BOB]) == (0, Decimal("53.50"))


@pytest.mark.usefixtures("factor")
def test_an_atomic_file_is_confirmed_as_a_whole(ann: Cli, bank: Bank, rows: str) -> None:
    refused = ann("transfer", "--file", rows, "--atomic", "-o", "json")
    assert (refused.status, bank.balances[BOB]) == (6, 0)
    paid = ann("transfer", "--file", rows, "--atomic", "--code-stdin", "-o", "json", stdin="123456\n")
    assert (paid.status, bank.balances[BOB]) == (0, Decimal("53.50"))
    assert "confirms 4 rows, 53.50 EUR together" in paid.err


@pytest.mark.usefixtures("factor")
def test_a_confirmation_that_is_refused_is_not_asked_for_without_end(
    ann: Cli, bank: Bank, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = {"status": 403, "code": "payment_confirmation_refused", "category": "forbidden"}
    monkeypatch.setattr(bank, "_unconfirmed", lambda *_args, **_named: refusal)
    outcome = ann("transfer", "--file", rows, "--code-stdin", "-o", "json", stdin="123456\n" * 9)
    assert (outcome.status, bank.balances[BOB]) == (6, 0)
    assert len(bank.sent(BATCH)) == 2


def test_a_code_and_rows_cannot_both_come_from_stdin(ann: Cli) -> None:
    outcome = ann("transfer", "--file", "-", "--run", "r", "--code-stdin", stdin="from,to\n")
    assert outcome.status == 2
