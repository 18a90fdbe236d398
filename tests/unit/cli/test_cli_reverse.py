"""Taking a transaction back from the command line."""

from typing import Any

import pytest

from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, Bank, CutLineError, Request


@pytest.fixture
def paid(ann: Cli) -> str:
    """Ann has paid Bob 12.50."""
    return str(ann("transfer", ANN, BOB, "12.50", "-o", "json").json["id"])


def cut(_request: Request) -> None:
    raise CutLineError


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ((), {"amount": "12.50", "force": False}),
        (("--amount", "5"), {"amount": "5", "force": False}),
        (("--amount", "5", "--force"), {"amount": "5", "force": True}),
    ],
)
def test_the_whole_is_taken_back_unless_an_amount_is_named(
    ann: Cli, bank: Bank, paid: str, given: tuple[str, ...], sent: dict[str, Any]
) -> None:
    outcome = ann("admin", "reverse", paid, *given, "--reason", "wrong account", "-o", "json")
    assert outcome.status == 0, outcome.err
    [request] = bank.sent(f"/transactions/{paid}/reverse")
    assert request.body == {**sent, "currency": "EUR", "reason": "wrong account"}
    assert outcome.json["reverses"] == paid
    assert outcome.json["idempotency_key"] == request.key
    assert "taken back" in outcome.err


@pytest.mark.parametrize(
    ("transaction", "given", "code"),
    [
        ("x", (), "invalid_transaction"),
        ("../accounts", (), "invalid_transaction"),
        (None, ("--amount", "5,00"), "invalid_amount"),
        (None, ("--reason", "a\nb"), "invalid_reference"),
    ],
)
def test_what_is_mistyped_is_not_sent(
    ann: Cli, bank: Bank, paid: str, transaction: str | None, given: tuple[str, ...], code: str
) -> None:
    before = len(bank.requests)
    outcome = ann("admin", "reverse", transaction or paid, "--reason", "r", *given, "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, code)
    assert len(bank.requests) == before


def test_a_transaction_that_is_not_there_is_not_reversed(ann: Cli, bank: Bank) -> None:
    missing = "0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b"
    assert ann("admin", "reverse", missing, "--reason", "r").status == 3
    assert bank.sent(f"/transactions/{missing}/reverse") == []


def test_a_lost_line_is_settled_by_retry_without_reversing_twice(ann: Cli, bank: Bank, paid: str) -> None:
    path = f"/transactions/{paid}/reverse"
    bank.times(3, path, cut, after=True)
    command = ("admin", "reverse", paid, "--reason", "r", "--idempotency-key", "k", "-o", "json")
    lost = ann(*command)
    assert (lost.status, "transactions retry k" in lost.problem["hint"]) == (9, True)
    settled = ann("transactions", "retry", "k", "-o", "json")
    assert (settled.status, settled.json[0]["outcome"]) == (0, "completed")
    assert {request.key for request in bank.sent(path)} == {"k"}


def test_a_shown_transaction_tells_what_was_taken_back(ann: Cli, paid: str) -> None:
    shown = ann("transactions", "show", paid)
    assert shown.status == 0, shown.err
    assert "Taken back" in shown.out
