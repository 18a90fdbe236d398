"""Paying to an account elsewhere, and paying out at the counter, from the command line."""

import json

import pytest

from bankctl import invocation
from bankctl.payments.pending import pending_directory
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, Bank, CutLineError, Request

IBAN = "DE89370400440532013000"
WITHDRAW = ("withdraw", "5", "--to", "de89 3704 0044 0532 0130 00", "--name", " Zoe Lang ", "--from", ANN)


def cut(_request: Request) -> None:
    raise CutLineError


def test_what_is_sent_names_beneficiary_account_and_currency(ann: Cli, bank: Bank) -> None:
    outcome = ann(*WITHDRAW, "--reference", "invoice 7", "-o", "json")
    assert outcome.status == 0, outcome.err
    [sent] = bank.sent("/transactions/withdraw")
    assert sent.body == {
        "from_account": ANN,
        "amount": "5",
        "currency": "EUR",
        "beneficiary": {"name": "Zoe Lang", "iban": IBAN},
        "reference": "invoice 7",
    }
    assert outcome.json["idempotency_key"] == sent.key
    assert outcome.json["beneficiary"]["iban"] == IBAN
    assert list(pending_directory().glob("*.json")) == []


def test_without_from_the_only_active_account_pays(ann: Cli, bank: Bank) -> None:
    several = ann(*WITHDRAW[:-2], "-o", "json")
    assert (several.status, several.problem["code"]) == (2, "usage")
    assert ANN in several.problem["detail"]
    assert BOB in several.problem["detail"]
    assert bank.sent("/transactions/withdraw") == []
    del bank.balances[BOB]
    assert ann(*WITHDRAW[:-2]).status == 0
    assert bank.sent("/transactions/withdraw")[0].body["from_account"] == ANN


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ((3, "DE98370400440532013000"), "invalid_iban"),
        ((3, "DE89"), "invalid_iban"),
        ((5, " "), "invalid_name"),
        ((5, "Zo\u202ee"), "invalid_name"),
        ((1, "5,00"), "invalid_amount"),
        ((7, "4000000007"), "invalid_account"),
    ],
)
def test_what_is_mistyped_is_not_sent(ann: Cli, bank: Bank, change: tuple[int, str], code: str) -> None:
    arguments = list(WITHDRAW)
    arguments[change[0]] = change[1]
    outcome = ann(*arguments, "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, code)
    assert bank.requests == []


def test_a_refusal_is_told_with_its_transaction(ann: Cli) -> None:
    outcome = ann("withdraw", "5000", *WITHDRAW[2:], "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (6, "insufficient_funds")
    assert outcome.problem["details"]["transaction_id"]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (WITHDRAW, "/transactions/withdraw"),
        (("admin", "withdraw", ANN, "5"), f"/accounts/{ANN}/withdraw"),
    ],
)
def test_a_lost_line_is_settled_by_retry_without_paying_twice(
    ann: Cli, bank: Bank, arguments: tuple[str, ...], path: str
) -> None:
    bank.times(3, path, cut, after=True)
    lost = ann(*arguments, "--idempotency-key", "k", "-o", "json")
    assert lost.status == 9
    assert "transactions retry k" in lost.problem["hint"]
    kept = json.loads((pending_directory() / "k.json").read_text())
    assert (kept["path"], kept["request"]["amount"]) == (path, "5")
    settled = ann("transactions", "retry", "k", "-o", "json")
    assert settled.status == 0, settled.err
    assert (settled.json[0]["outcome"], settled.json[0]["idempotency_key"]) == ("completed", "k")
    assert {request.key for request in bank.sent(path)} == {"k"}
    assert list(pending_directory().glob("*.json")) == []


def test_on_a_terminal_it_shows_who_gets_what_and_asks(
    ann: Cli, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BANKCTL_YES", raising=False)
    monkeypatch.setattr(invocation.Invocation, "interactive", property(lambda run: not run.no_input))
    outcome = ann(*WITHDRAW, stdin="n\n")
    assert outcome.status == 130
    for shown in ("5 EUR", ANN, "Zoe Lang", IBAN):
        assert shown in outcome.err
    assert bank.sent("/transactions/withdraw") == []


def test_paying_out_names_the_account_in_the_path(ann: Cli, bank: Bank) -> None:
    outcome = ann("admin", "withdraw", ANN, "5", "--reference", "cash")
    assert outcome.status == 0, outcome.err
    [sent] = bank.sent(f"/accounts/{ANN}/withdraw")
    assert sent.body == {"amount": "5", "currency": "EUR", "reference": "cash"}
    assert f"{ANN} was debited" in outcome.err
