"""What moves money or is hard to undo: asked about on a terminal, else refused without consent."""

from pathlib import Path

import pytest

from bankctl import invocation
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, Bank

REQUEST = "0190a1b2-0000-7000-8000-000000000001"
MOVING_MONEY = [
    ("transfer", ANN, BOB, "5"),
    ("transfer", "--file", "orders.csv"),
    ("withdraw", "5", "--to", "DE89370400440532013000", "--name", "Zoe", "--from", ANN),
    ("admin", "fund", ANN, "5"),
    ("admin", "withdraw", ANN, "5"),
    ("admin", "reverse", REQUEST, "--reason", "mistake"),
    ("admin", "adjust", ANN, "5", "--credit", "--reason", "fee charged twice"),
]
ASKED_ABOUT = [
    *MOVING_MONEY,
    ("transactions", "retry", "--all"),
    ("accounts", "close", ANN),
    ("admin", "approvals", "approve", REQUEST),
    ("admin", "dead-letters", "replay", "--all"),
    ("admin", "webhooks", "remove", REQUEST, "--reason", "no longer used"),
    ("api", "POST", "/transactions/transfer", "--data", "{}"),
    ("api", "DELETE", f"/auth/tokens/{REQUEST}"),
    ("dev", "reset"),
]


@pytest.fixture(autouse=True)
def without_consent(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BANKCTL_YES")
    monkeypatch.chdir(tmp_path)
    Path("orders.csv").write_text(f"from,to,amount,currency\n{ANN},{BOB},5.00,EUR\n")


def _on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invocation.Invocation, "interactive", property(lambda run: not run.no_input))


@pytest.mark.parametrize("arguments", ASKED_ABOUT, ids=" ".join)
def test_without_a_terminal_and_without_consent_nothing_is_sent(
    ann: Cli, bank: Bank, home: Path, arguments: tuple[str, ...]
) -> None:
    outcome = ann(*arguments, "-o", "json", stdin="y\n")

    assert (outcome.status, outcome.problem["code"]) == (2, "confirmation_needed")
    assert "--yes" in outcome.problem["hint"]
    assert "BANKCTL_YES=1" in outcome.problem["hint"]
    assert bank.requests == []
    assert not (home / "state" / "pending").exists()


@pytest.mark.parametrize("arguments", ASKED_ABOUT, ids=" ".join)
def test_no_input_is_no_consent(
    ann: Cli, bank: Bank, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    _on_a_terminal(monkeypatch)
    outcome = ann(*arguments, "--no-input", stdin="y\n")

    assert outcome.status == 2
    assert "--no-input" in outcome.err
    assert bank.requests == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("transfer", ANN, BOB, "5"),
        ("transfer", "--file", "orders.csv"),
        ("accounts", "close", BOB),
        ("admin", "fund", ANN, "5"),
        ("api", "POST", "/transactions/transfer", "--data", "{}"),
        ("dev", "reset"),
    ],
    ids=" ".join,
)
def test_a_no_on_a_terminal_changes_nothing(
    ann: Cli, bank: Bank, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    _on_a_terminal(monkeypatch)
    outcome = ann(*arguments, stdin="n\n")

    assert outcome.status == 130
    assert outcome.err.endswith("Error: nothing was done\n")
    assert [
        sent for sent in bank.requests if sent.method != "GET" and not sent.path.endswith("/preview")
    ] == []


@pytest.mark.parametrize("value", ["1", "true", "YES", " on "])
def test_a_script_agrees_by_bankctl_yes(
    ann: Cli, bank: Bank, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("BANKCTL_YES", value)
    assert ann("transfer", ANN, BOB, "5").status == 0
    assert len(bank.sent("/transactions/transfer")) == 1


@pytest.mark.parametrize("value", ["", "0", "false", "No", "off"])
def test_bankctl_yes_can_say_no(ann: Cli, bank: Bank, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("BANKCTL_YES", value)
    outcome = ann("transfer", ANN, BOB, "5", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, "confirmation_needed")
    assert bank.requests == []


@pytest.mark.parametrize("value", ["2", "y", "ja", "-1"])
def test_what_is_neither_yes_nor_no_is_refused_by_name(
    ann: Cli, bank: Bank, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("BANKCTL_YES", value)
    outcome = ann("transfer", ANN, BOB, "5", "-o", "json")
    assert (outcome.status, outcome.problem["code"]) == (2, "invalid_environment")
    assert "BANKCTL_YES" in outcome.problem["detail"]
    assert repr(value) in outcome.problem["detail"]
    assert bank.requests == []


def test_looking_needs_no_consent(ann: Cli) -> None:
    assert ann("transfer", ANN, BOB, "5", "--dry-run").status == 0
    assert ann("api", "GET", "/accounts").status == 0
    assert ann("balance", ANN).status == 0


def test_the_help_for_scripts_names_what_is_asked_about(cli: Cli) -> None:
    text = " ".join(cli("help", "scripts").out.split())
    assert "everything that moves money" in text
    for arguments in ASKED_ABOUT:
        if arguments in MOVING_MONEY:
            continue
        words = arguments[:1] if arguments[0] in {"transfer", "api"} else arguments[:2]
        command = " ".join(
            arguments[:3] if arguments[1] in {"approvals", "dead-letters", "webhooks"} else words
        )
        assert command in text
