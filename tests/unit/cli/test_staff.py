"""What staff are asked on the command line: why they read, and the code they enrol with."""

from collections.abc import Callable

import pytest

from bankctl import invocation
from tests.unit.cli.commands.test_events import event
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, Bank, ProblemError, Request

WHY = "ticket 4711: Zahlung prüfen"
ENCODED = "ticket%204711%3A%20Zahlung%20pr%C3%BCfen"


@pytest.fixture
def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invocation.Invocation, "interactive", property(lambda run: not run.no_input))


@pytest.fixture
def curious(bank: Bank) -> Bank:
    """A bank that asks whoever reads an account why they do."""

    def ask(request: Request) -> None:
        if request.path.startswith("/accounts") and "X-Reason" not in request.headers:
            raise ProblemError(403, "reason_required", "forbidden")

    bank.hooks.append(ask)
    return bank


def reasons(bank: Bank) -> list[str | None]:
    return [sent.headers.get("X-Reason") for sent in bank.requests if sent.path.startswith("/accounts")]


@pytest.mark.parametrize("order", [lambda *words: words, lambda *words: (*words[-2:], *words[:-2])])
def test_a_reason_is_sent_wherever_it_stands(
    ann: Cli, curious: Bank, order: Callable[..., tuple[str, ...]]
) -> None:
    assert ann(*order("accounts", "show", ANN, "--reason", WHY)).status == 0
    assert reasons(curious) == [ENCODED]


def test_the_reason_of_an_act_is_the_reason_for_what_is_read_for_it(ann: Cli, curious: Bank) -> None:
    adjusting = ("admin", "adjust", ANN, "5", "--credit", "--reason", "fee charged twice")
    ann(*adjusting)
    assert f"/accounts/{ANN}/balance" in curious.paths()
    assert set(reasons(curious)) == {"fee%20charged%20twice"}


def test_a_script_without_a_reason_is_told_how_to_give_one(ann: Cli, curious: Bank) -> None:
    refused = ann("accounts", "show", ANN, "-o", "json")
    assert (refused.status, refused.problem["code"]) == (5, "reason_required")
    assert "--reason" in refused.problem["hint"]
    assert reasons(curious) == [None]


@pytest.mark.usefixtures("on_a_terminal")
def test_on_a_terminal_the_reason_is_asked_for_once(ann: Cli, curious: Bank) -> None:
    shown = ann("admin", "fund", ANN, "5", stdin=f"{WHY}\n")
    assert shown.status == 0
    assert shown.err.count("Why do you read this customer's data") == 1
    assert reasons(curious)[0] is None
    assert set(reasons(curious)[1:]) == {ENCODED}
    refused = ann("accounts", "show", ANN, "--no-input", "-o", "json")
    assert refused.problem["code"] == "reason_required"


@pytest.mark.usefixtures("on_a_terminal")
def test_the_stream_of_events_asks_why_as_well(ann: Cli, bank: Bank) -> None:
    bank.events.append(event(1))

    def ask(request: Request) -> None:
        if request.path == "/events" and "X-Reason" not in request.headers:
            raise ProblemError(403, "reason_required", "forbidden")

    bank.hooks.append(ask)
    seen = ann("events", "tail", "--since-start", "--count", "1", "-o", "json", stdin=f"{WHY}\n")
    assert seen.status == 0, seen.err
    assert [sent.headers.get("X-Reason") for sent in bank.sent("/events")] == [None, ENCODED]


@pytest.fixture
def handed_out(bank: Bank) -> Bank:
    """A bank in which whoever enrols shows the code that they were handed."""

    def ask(request: Request) -> None:
        if request.path != "/auth/totp":
            return
        given = (request.body or {}).get("enrolment_code")
        if given is None:
            raise ProblemError(401, "enrolment_code_required", "unauthenticated")
        if given != "AAAA-BBBB":
            raise ProblemError(401, "invalid_enrolment_code", "unauthenticated")

    bank.hooks.append(ask)
    return bank


def test_the_enrolment_code_is_the_second_line_of_stdin(ann: Cli, handed_out: Bank) -> None:
    enrolling = ("auth", "totp", "enroll", "--password-stdin", "-o", "json")
    begun = ann(*enrolling, stdin="correct horse\nAAAA-BBBB\n")
    assert begun.json["secret"] == "JBSWY3DPEHPK3PXP"
    assert [sent.body for sent in handed_out.sent("/auth/totp")] == [
        {"password": "correct horse"},
        {"password": "correct horse", "enrolment_code": "AAAA-BBBB"},
    ]
    wrong = ann(*enrolling, stdin="correct horse\nCCCC-DDDD\n")
    assert (wrong.status, wrong.problem["code"]) == (4, "invalid_enrolment_code")
    missing = ann(*enrolling, stdin="correct horse\n")
    assert (missing.status, missing.problem["code"]) == (4, "enrolment_code_required")
    assert "administrator" in missing.problem["hint"]


@pytest.mark.usefixtures("on_a_terminal")
def test_on_a_terminal_the_enrolment_code_is_asked_for(
    ann: Cli, handed_out: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getpass", lambda _prompt, stream: "correct horse")
    begun = ann("auth", "totp", "enroll", "-o", "json", stdin="AAAA-BBBB\n")
    assert begun.status == 0
    assert "Enrolment code" in begun.err
    sent = [request.body for request in handed_out.sent("/auth/totp")]
    assert sent[-1] == {"password": "correct horse", "enrolment_code": "AAAA-BBBB"}


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (("--max-payment", "50.00"), "currency_needed"),
        (("--max-day", "200.00"), "currency_needed"),
        (("--currency", "EUR"), "currency_needed"),
        (("--max-day", "-1", "--currency", "EUR"), "invalid_amount"),
        (("--max-day", "1", "--currency", "EURO"), "invalid_currency"),
        (("--payee", "DE89370400440532013001"), "invalid_iban"),
        (("--payee", "12"), "invalid_account"),
        (("--expires", "tomorrow"), "usage"),
    ],
)
def test_a_budget_that_means_nothing_is_not_sent(
    ann: Cli, bank: Bank, limits: tuple[str, ...], code: str
) -> None:
    making = ("auth", "api-keys", "create", "--name", "agent", "--scope", "use_own_accounts")
    refused = ann(*making, *limits, "--password-stdin", "-o", "json", stdin="correct horse\n")
    assert (refused.status, refused.problem["code"]) == (2, code)
    assert bank.sent("/auth/tokens") == []
