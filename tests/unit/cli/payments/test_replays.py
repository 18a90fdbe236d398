"""What an earlier request with the same key came to is called that, with how to try anew."""

import pytest

from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, Bank, CutLineError, Request

KEY = ("--idempotency-key", "rent-12")
EARLIER = "the outcome of an earlier request with the same idempotency key"
ANEW = "to try again, use another --idempotency-key, or none"


def cut(_request: Request) -> None:
    raise CutLineError


@pytest.mark.parametrize(
    ("command", "done"),
    [
        (("transfer", ANN, BOB, "5"), "paid"),
        (("admin", "fund", ANN, "5"), f"{ANN} was credited"),
        (("withdraw", "5", "--to", "DE89370400440532013000", "--name", "Zoe", "--from", ANN), "paid"),
        (("admin", "withdraw", ANN, "5"), f"{ANN} was debited"),
        (("accounts", "open", "checking", "--currency", "EUR"), f"opened {ANN}"),
    ],
)
def test_a_key_given_again_shows_the_earlier_outcome(ann: Cli, command: tuple[str, ...], done: str) -> None:
    first = ann(*command, *KEY)
    assert (first.status, EARLIER in first.err, f"✓ {done}" in first.err) == (0, False, True), first.err
    again = ann(*command, *KEY)
    assert (again.status, EARLIER in again.err, ANEW in again.err) == (0, True, True), again.err
    assert f"✓ {done}" not in again.err
    assert EARLIER not in ann(*command).err


def test_a_refusal_that_was_kept_is_an_earlier_outcome(ann: Cli, bank: Bank) -> None:
    poor = ("transfer", ANN, BOB, "5000", *KEY, "-o", "json")
    first = ann(*poor)
    assert (first.status, "replayed" in first.problem["details"]) == (6, False)
    bank.balances[ANN] *= 1000
    again = ann(*poor)
    assert (again.status, again.problem["code"]) == (6, "insufficient_funds")
    assert again.problem["details"]["replayed"] is True
    assert EARLIER in again.problem["hint"]
    assert ANEW in again.problem["hint"]


def test_what_the_command_itself_did_before_the_line_was_cut_is_no_earlier_outcome(
    ann: Cli, bank: Bank
) -> None:
    bank.once("/transactions/transfer", cut, after=True)
    paid = ann("transfer", ANN, BOB, "5", "-o", "json")
    assert (paid.status, paid.json["replayed"], EARLIER in paid.err) == (0, False, False)
    bank.once("/accounts", cut, after=True)
    opened = ann("accounts", "open", "checking", "--currency", "EUR")
    assert (opened.status, EARLIER in opened.err) == (0, False)
