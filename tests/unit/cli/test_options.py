"""Global options in any place, formats, errors in the format that was asked for, and safe text."""

import csv
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from bankctl.client.failures import AttemptFailedError, Certainty, refused
from bankctl.errors import ExitStatus
from bankctl.render.column import Column
from bankctl.render.table import table_text
from bankctl.render.text import clean, dump_json
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, Bank, ProblemError, Request

HOSTILE = "Eve\x1b[31m\x1b]0;owned\x07 \x9b2J[/] [bold]x[/bold]\u202e\r\nnext"


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "json", "accounts", "list"],
        ["accounts", "-o", "json", "list"],
        ["accounts", "list", "-o", "json"],
        ["accounts", "list", "-ojson"],
        ["accounts", "list", "--output=json"],
        ["--output", "csv", "accounts", "list", "-o", "json"],
        ["--query", "[]", "accounts", "list"],
        ["accounts", "list", "--query", "[]"],
    ],
)
def test_global_options_work_before_and_after_the_command(ann: Cli, arguments: list[str]) -> None:
    outcome = ann(*arguments)
    assert outcome.status == 0, outcome.err
    assert [account["id"] for account in outcome.json] == [ANN, BOB]


def test_the_profile_is_chosen_before_or_after_the_command(ann: Cli) -> None:
    for arguments in (["--profile", "none", "whoami"], ["whoami", "--profile", "none"]):
        outcome = ann(*arguments, "-o", "json")
        assert (outcome.status, outcome.problem["code"]) == (2, "unknown_profile")


def test_the_environment_names_the_profile_and_an_option_overrides_it(
    ann: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BANKCTL_PROFILE", "none")
    assert ann("whoami").status == 2
    assert ann("whoami", "--profile", "test").status == 0


def test_the_formats(ann: Cli) -> None:
    assert ann("accounts", "list", "--query", "[0].balance.amount").json == "1000.00"
    lines = ann("accounts", "list", "-o", "jsonl").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [ANN, BOB]
    rows = list(csv.DictReader(io.StringIO(ann("accounts", "list", "-o", "csv").out)))
    assert rows[0]["balance.amount"] == "1000.00"
    plain = ann("accounts", "list").out.splitlines()
    assert plain[0].split()[:2] == ["ACCOUNT", "NAME"]
    assert len(plain) == 3


def test_a_pipe_gets_no_colour_and_no_wrapping(ann: Cli, bank: Bank) -> None:
    bank.names[ANN] = "a very long name " * 20
    outcome = ann("accounts", "list")
    assert "\x1b" not in outcome.out + outcome.err
    assert max(map(len, outcome.out.splitlines())) > 300


def test_a_list_that_stops_early_says_so(ann: Cli) -> None:
    outcome = ann("accounts", "list", "--limit", "1", "-o", "json")
    assert [account["id"] for account in outcome.json] == [ANN]
    assert "there are more" in outcome.err
    assert "there are more" not in ann("accounts", "list", "--limit", "2").err
    assert ann("accounts", "list", "--limit", "0").status == 2


def test_messages_never_mix_with_results(ann: Cli) -> None:
    outcome = ann("accounts", "open", "checking", "--currency", "EUR", "-o", "json")
    assert outcome.json["id"] == ANN
    assert "opened" in outcome.err
    assert ann("-q", "accounts", "open", "checking", "--currency", "EUR").err == ""


def test_a_query_that_is_none_is_a_usage_error(ann: Cli) -> None:
    outcome = ann("accounts", "list", "--query", "[?")
    assert (outcome.status, outcome.problem["code"]) == (2, "invalid_query")


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "json", "no-such-command"],
        ["no-such-command", "-o", "json"],
        ["accounts", "list", "--no-such-option", "-o", "json"],
        ["accounts", "list", "--limit", "many", "-o", "json"],
        ["accounts", "open", "-o", "json"],
        ["accounts", "open", "current", "--currency", "EUR", "-o", "json"],
        ["accounts", "-o", "json"],
        ["balance", "--query", "x"],
        ["help", "nothing", "-o", "jsonl"],
    ],
)
def test_usage_errors_are_json_too_and_exit_2(cli: Cli, arguments: list[str]) -> None:
    outcome = cli(*arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.problem["exit_status"] == 2
    assert outcome.problem["hint"]


def test_usage_errors_are_text_otherwise(cli: Cli) -> None:
    outcome = cli("acounts")
    assert (outcome.status, outcome.out) == (2, "")
    assert "accounts" in outcome.err
    assert "Next:" in outcome.err


@pytest.mark.parametrize(
    ("http_status", "category", "status"),
    [
        (422, "invalid", ExitStatus.USAGE),
        (401, "unauthenticated", ExitStatus.NOT_LOGGED_IN),
        (403, "forbidden", ExitStatus.FORBIDDEN),
        (404, "not_found", ExitStatus.NOT_FOUND),
        (422, "rejected", ExitStatus.REJECTED),
        (409, "conflict", ExitStatus.CONFLICT),
        (503, "transient", ExitStatus.UNREACHABLE),
        (500, "internal", ExitStatus.UNEXPECTED),
    ],
)
def test_the_category_of_a_problem_decides_the_exit_status(
    ann: Cli, bank: Bank, http_status: int, category: str, status: ExitStatus
) -> None:
    def refuse(_: Request) -> None:
        raise ProblemError(
            http_status, f"some_{category}", category, "because", request_id="req-7", retry_after_seconds=0
        )

    bank.times(9, f"/accounts/{ANN}", refuse)
    outcome = ann("accounts", "show", ANN, "-o", "json")
    assert (outcome.status, outcome.out) == (status, "")
    assert outcome.problem["code"] == f"some_{category}"
    assert outcome.problem["detail"] == "because"
    assert outcome.problem["request_id"] == "req-7"
    text = ann("accounts", "show", ANN).err
    assert "because" in text
    assert "req-7" in text


def test_a_read_is_repeated_while_the_bank_is_busy(ann: Cli, bank: Bank) -> None:
    def busy(_: Request) -> None:
        raise ProblemError(503, "overloaded", "transient")

    bank.times(2, "/accounts", busy)
    assert ann("accounts", "list").status == 0
    assert len(bank.sent("/accounts")) == 3


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (("accounts", "list"), "/accounts"),
        # Not repeatable by itself: but who is told to wait has not been served.
        (("accounts", "open", "checking", "--currency", "EUR"), "/accounts"),
        (("transfer", ANN, BOB, "1.00", "--yes"), "/transactions/transfer"),
    ],
)
def test_who_sends_too_much_waits_as_long_as_asked_and_goes_on(
    ann: Cli, bank: Bank, arguments: tuple[str, ...], path: str
) -> None:
    arrived: list[float] = []

    def wait_a_second(_: Request) -> None:
        raise ProblemError(429, "rate_limited", "transient", retry_after_seconds=1)

    bank.times(2, path, lambda _: arrived.append(time.monotonic()))
    bank.once(path, wait_a_second)
    assert ann(*arguments).status == 0
    first, again = arrived
    assert again - first >= 1
    assert len(bank.sent(path)) == 2


def test_a_wait_that_only_the_header_tells_counts_too() -> None:
    def failure(status: int, **headers: str) -> AttemptFailedError:
        asked = httpx.Request("POST", "https://bank.example/accounts")
        return refused(httpx.Response(status, headers=headers, text="slow down", request=asked))

    told = failure(429, **{"Retry-After": "2"})
    assert (told.certainty, told.retryable, told.after_seconds) == (Certainty.NOT_DONE, True, 2)
    # Longer waits than a few seconds are the person's decision, and a date is no number.
    assert not failure(429, **{"Retry-After": "60"}).retryable
    assert failure(429, **{"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}).after_seconds is None


def test_the_faulty_fields_are_named(ann: Cli, bank: Bank) -> None:
    def refuse(_: Request) -> None:
        raise ProblemError(
            422, "invalid_request", "invalid", errors=[{"field": "name", "message": "too long"}]
        )

    bank.once("/accounts", refuse)
    outcome = ann("accounts", "open", "checking", "--currency", "EUR")
    assert "name: too long" in outcome.err


def test_every_request_says_who_asks(ann: Cli, bank: Bank) -> None:
    ann("accounts", "list")
    (request,) = bank.requests
    assert request.headers["X-Requested-With"] == "bankctl"
    assert request.headers["User-Agent"].startswith("bankctl/")
    assert len(request.headers["X-Request-Id"]) == 32


def test_a_bank_that_is_not_there_exits_8(cli: Cli, bank: Bank) -> None:
    assert cli("config", "set", "url", "https://127.0.0.1:1").status == 0
    outcome = cli("login", "--email", "a@b.c", "--password-stdin", "-o", "json", stdin="x\n")
    assert (outcome.status, outcome.problem["code"]) == (8, "unreachable")
    assert "bankctl doctor" in outcome.problem["hint"]


def test_a_certificate_that_is_not_trusted_is_never_accepted(cli: Cli, bank: Bank) -> None:
    assert cli("config", "set", "ca_file", "").status == 0
    outcome = cli("login", "--email", "a@b.c", "--password-stdin", "-o", "json", stdin="x\n")
    assert (outcome.status, outcome.problem["code"]) == (8, "tls_untrusted")
    assert bank.requests == []


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "127.0.0.1", "https://", "https://u:p@h", "https://h/x"]
)
def test_only_https_origins_are_taken(cli: Cli, bank: Bank, url: str) -> None:
    assert cli("config", "set", "url", url).status == 2


def test_text_from_the_bank_cannot_drive_the_terminal(ann: Cli, bank: Bank) -> None:
    bank.names[ANN] = HOSTILE
    for options in ([], ["-o", "csv"], ["-o", "json"]):
        out = ann("accounts", "show", ANN, *options).out
        assert not set(out) & {"\x1b", "\x07", "\x9b", "\u202e", "\r"}
    assert ann("accounts", "show", ANN, "--query", "name").json == HOSTILE
    assert "[/] [bold]x[/bold]" in ann("accounts", "show", ANN).out


def test_cleaning_drops_whole_sequences_and_keeps_the_text() -> None:
    assert clean(HOSTILE) == "Eve [/] [bold]x[/bold] next"
    assert clean("\x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\") == "link"
    assert json.loads(dump_json({"a": HOSTILE})) == {"a": HOSTILE}


def test_markup_survives_a_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    out = table_text([["[/] [red]x", "5"]], [Column("name", "Name"), Column("n", "N")], "Title [/]")
    assert "[/] [red]x" in out
    assert "Title [/]" in out


def test_an_unexpected_error_is_one_line(ann: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bankctl.client.accounts.Accounts.show", lambda *_: 1 / 0)
    outcome = ann("accounts", "show", ANN)
    assert outcome.status == 1
    assert "ZeroDivisionError" in outcome.err
    assert "Traceback" not in outcome.err
    assert "Traceback" in ann("accounts", "show", ANN, "--debug").err


def test_a_reader_that_goes_away_is_no_error(home: Path) -> None:
    command = f"{sys.executable} -m bankctl.main help retries | true; exit ${{PIPESTATUS[0]}}"
    finished = subprocess.run(
        ["bash", "-c", f"sleep 0; {command}"], capture_output=True, text=True, check=False, timeout=60
    )
    assert finished.returncode in {0, 141}
    assert finished.stderr == ""


def test_no_color_wins_over_forced_colour(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    assert "\x1b[" in cli("acounts").err
    assert "\x1b[" not in cli("--no-color", "acounts").err
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in cli("acounts").err


def test_a_copied_profile_is_another_person_at_the_same_bank(ann: Cli, bank: Bank) -> None:
    assert ann("config", "copy", "test", "olga").status == 0
    profiles = {row["name"]: row for row in ann("config", "list", "-o", "json").json}
    assert profiles["olga"]["url"] == profiles["test"]["url"]
    assert profiles["olga"]["ca_file"] == profiles["test"]["ca_file"]
    assert ann("whoami", "--profile", "olga").status == 4
    assert ann("config", "copy", "test", "olga").status == 7
    assert ann("config", "copy", "nowhere", "bob").status == 2
    assert ann("config", "copy", "test", "../x").status == 2


def test_config_get_set_use_and_list(cli: Cli, bank: Bank) -> None:
    assert cli("config", "set", "url", "https://bank.example/", "--profile", "work").status == 0
    assert cli("config", "get", "url", "--profile", "work").out == "https://bank.example\n"
    assert cli("config", "use", "work").status == 0
    profiles = {row["name"]: row["used"] for row in cli("config", "list", "-o", "json").json}
    assert profiles == {"test": False, "work": True}
    assert cli("config", "use", "nowhere").status == 2
    assert cli("config", "set", "url", "https://x", "--profile", "../x").status == 2


def test_the_raw_api(ann: Cli, bank: Bank) -> None:
    assert ann("api", "GET", "/accounts?limit=5", "--query", "items[0].id").json == ANN
    assert bank.requests[-1].query == {"limit": "5"}
    body = {"type": "checking", "currency": "EUR"}
    assert ann("api", "post", "/accounts", "--data", json.dumps(body)).status == 0
    assert bank.requests[-1].body == body
    assert ann("api", "GET", "/accounts", "--anonymous").status == 4
    for wrong in (["PUT", "/x"], ["GET", "x"], ["GET", "//evil/x"], ["POST", "/x", "--data", "{"]):
        assert ann("api", *wrong).status == 2


def test_doctor_finds_nothing_wrong_with_a_bank_that_works(ann: Cli, bank: Bank) -> None:
    outcome = ann("doctor", "-o", "json")
    assert outcome.status == 0, outcome.out
    checks = {row["check"]: row["result"] for row in outcome.json}
    assert checks["session"] == checks["banking_api"] == checks["clock"] == "ok"


def test_doctor_says_how_to_mend_a_bank_that_is_not_there(ann: Cli) -> None:
    ann("config", "set", "url", "https://127.0.0.1:1")
    outcome = ann("doctor", "-o", "json")
    assert outcome.status == 1
    (failed,) = [row for row in outcome.json if row["result"] == "FAILED"]
    assert "bankctl dev up" in failed["mend"]
