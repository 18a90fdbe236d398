"""Standard streams that are closed, full, cut off or of another encoding: the outcome is told as it is."""

import csv
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, KEY, WEBHOOK_SECRET, Bank, ProblemError, Request
from tests.unit.cli.processes import bankctl, on_terminal

PAY = ("transfer", ANN, BOB, "1.00", "--yes")
TOKEN = ("auth", "api-keys", "create", "--name", "ci", "--scope", "use_own_accounts", "--password-stdin")
PASSWORD = b"correct horse\n"


@pytest.mark.parametrize(
    ("redirections", "output"),
    [
        (">&-", "table"),
        (">/dev/full", "json"),
        (">&- 2>&-", "csv"),
        (">/dev/full 2>/dev/full", "table"),
        (">&- <&-", "csv"),
    ],
)
def test_a_payment_that_cannot_be_printed_is_paid_once_and_exits_10(
    ann: Cli, bank: Bank, redirections: str, output: str
) -> None:
    ended = bankctl([*PAY, "-o", output], redirections=redirections)
    assert ended.status == 10
    assert bank.balances[BOB] == 1
    if "2>" not in redirections:
        assert b"it was done" in ended.err
        assert b"completed" in ended.err


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full", "<&-"])
def test_a_payment_without_a_place_for_messages_is_paid_and_exits_0(
    ann: Cli, bank: Bank, redirections: str
) -> None:
    ended = bankctl([*PAY, "-o", "json"], redirections=redirections)
    assert ended.status == 0
    assert json.loads(ended.out)["status"] == "completed"


@pytest.mark.parametrize("redirections", [">&-", ">/dev/full 2>&-"])
def test_a_payment_that_was_refused_stays_refused(ann: Cli, bank: Bank, redirections: str) -> None:
    ended = bankctl(["transfer", ANN, BOB, "5000", "--yes"], redirections=redirections)
    assert ended.status == 6
    assert bank.balances[BOB] == 0


@pytest.mark.parametrize(
    ("redirections", "status", "command"),
    [
        (">&-", 10, "accounts list"),
        (">/dev/full", 10, "accounts list -o csv"),
        ("2>&-", 0, "accounts list"),
        (">&-", 10, "--help"),
        (">/dev/full", 10, "--version"),
        (">&-", 10, "--version"),
        (">/dev/full", 10, "help money"),
        (">/dev/full", 10, "completion bash"),
    ],
)
def test_reading_says_that_nothing_was_written(
    ann: Cli, redirections: str, status: int, command: str
) -> None:
    ended = bankctl(command.split(), redirections=redirections)
    assert ended.status == status
    if status:
        assert b"could not be written to stdout" in ended.err
        assert b"it was done" not in ended.err


def _reader_gone(arguments: tuple[str, ...]) -> tuple[int, bytes]:
    """Run a command whose stdout is a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen(
        [sys.executable, "-m", "bankctl.main", *arguments], stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def test_a_reader_that_went_away_is_141_after_reading_and_10_after_paying(ann: Cli, bank: Bank) -> None:
    assert _reader_gone(("accounts", "list")) == (141, b"")
    status, err = _reader_gone(PAY)
    assert status == 10
    assert b"Broken pipe" in err
    assert bank.balances[BOB] == 1


@pytest.mark.parametrize(
    ("redirections", "arguments", "stdin", "secret"),
    [
        (">&-", TOKEN, PASSWORD, KEY),
        (">/dev/full", (*TOKEN, "-o", "json"), PASSWORD, KEY),
        (">/dev/full", (*TOKEN, "--query", "token", "-r"), PASSWORD, KEY),
        (">&-", ("auth", "totp", "enroll", "--password-stdin"), PASSWORD, "JBSWY3DPEHPK3PXP"),
        (">/dev/full", ("auth", "totp", "confirm", "--code-stdin"), b"123456\n", "EEEE-FFFF-GGGG-HHHH"),
    ],
)
def test_what_is_shown_once_is_shown_even_if_stdout_fails(
    ann: Cli, redirections: str, arguments: tuple[str, ...], stdin: bytes, secret: str
) -> None:
    ended = bankctl(arguments, redirections=redirections, stdin=stdin)
    assert ended.status == 10
    assert secret.encode() in ended.err


@pytest.mark.parametrize(
    ("arguments", "secret", "part"),
    [
        (["auth", "totp", "confirm", "--code-stdin"], "EEEE-FFFF-GGGG-HHHH", "EEEE"),
        (
            ["admin", "webhooks", "add", "https://example.com/bank", "--reason", "alerts"],
            WEBHOOK_SECRET,
            "whsec",
        ),
    ],
)
def test_what_is_shown_once_goes_to_the_terminal_rather_than_into_a_log(
    ann: Cli, home: Path, arguments: list[str], secret: str, part: str
) -> None:
    status, shown = on_terminal(
        arguments,
        columns=80,
        redirections=f">/dev/full 2>'{home}/log' <<'CODE'\n123456\nCODE\n",
    )
    assert status == 10
    assert secret in shown
    assert part not in (home / "log").read_text()


def test_a_query_that_only_the_data_shows_to_be_wrong_loses_nothing(ann: Cli, bank: Bank) -> None:
    paid = ann(*PAY, "--query", "sum(amount)")
    assert paid.status == 10
    assert paid.json["status"] == "completed"
    assert paid.problem["code"] == "result_not_printed"
    made = ann(*TOKEN, "--query", "sum(token)", stdin="correct horse\n")
    assert (made.status, made.json["token"].partition("@")[0]) == (10, KEY)
    refused = ann("transfer", ANN, BOB, "5000", "--yes", "--query", "sum(amount)")
    assert refused.status == 6
    read = ann("accounts", "list", "--query", "sum(@)")
    assert (read.status, read.out, read.problem["code"]) == (2, "", "invalid_query")


def test_a_result_that_cannot_be_laid_out_is_printed_whole(ann: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bankctl.render.output._as_table", lambda *_: 1 / 0)
    made = ann(*TOKEN, stdin="correct horse\n")
    assert (made.status, made.json["token"].partition("@")[0]) == (10, KEY)


@pytest.mark.parametrize(
    "query",
    [
        *("[?", "", "a..b", "foo(", "nothing(@)", "length()", "length(a, b)", "length(`5`)", "sum('x')"),
        *("sort_by(@, 'x')", "[].join(`1`, a)", 'sum(`["a"]`)', "length(length(a))", "keys([a, b])"),
        *("a[?starts_with(b, `5`)]", "to_string(", "max_by(@, x > `1`)", "(" * 5000 + "a" + ")" * 5000),
    ],
)
def test_a_query_that_can_never_work_is_found_before_anything_is_sent(
    ann: Cli, bank: Bank, query: str
) -> None:
    for arguments in (("--query", query, *PAY), (*PAY, "--query", query)):
        outcome = ann(*arguments)
        assert (outcome.status, outcome.problem["code"]) == (2, "invalid_query")
        assert len(outcome.err.splitlines()) == 1
    assert bank.requests == []


@pytest.mark.parametrize(
    "query",
    [
        *("[].id", "length(@)", "sort_by(@, &id)[0].id", "[?starts_with(id, '4')]", "join(', ', [].id)"),
        *("max_by(@, &id)", "not_null(a, b, `1`)", "sum([].length(id))", "map(&id, @)", "merge([0], [1])"),
        *("[0].keys(@)", "sum(`[1, 2]`)", "@ | length(@)", "to_array(`1`)", 'sort(`["b", "a"]`)'),
    ],
)
def test_a_query_that_works_is_let_through(ann: Cli, query: str) -> None:
    assert ann("accounts", "list", "--query", query).status == 0


def test_raw_strings_come_without_quotes_one_a_line(ann: Cli, bank: Bank) -> None:
    bank.names[ANN] = "Zoë\x1b[31m \u4e2d"
    assert ann("accounts", "list", "--query", "[].id", "-r").out == f"{ANN}\n{BOB}\n"
    assert ann("accounts", "show", ANN, "--raw", "--query", "name").out == "Zoë \u4e2d\n"
    assert ann("accounts", "show", ANN, "-r", "--query", "[name, balance, `1`, status_reason]").out == (
        'Zoë \u4e2d\n{"amount": "1000.00", "currency": "EUR"}\n1\nnull\n'
    )
    assert ann("-r", "accounts", "list", "--query", "[?id=='x'].id").out == ""
    ended = bankctl(
        ["accounts", "show", ANN, "-r", "--query", "name"], environment={"PYTHONIOENCODING": "ascii"}
    )
    assert ended.out.decode() == "Zoë \u4e2d\n"


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_encodings_lose_no_data(ann: Cli, bank: Bank, encoding: str) -> None:
    name = bank.names[ANN] = "Zoë \u4e2d\U0001f600 €"
    environment = {"PYTHONIOENCODING": encoding}
    show = ("accounts", "show", ANN)
    as_json = bankctl([*show, "-o", "json"], environment=environment)
    assert json.loads(as_json.out.decode(encoding))["name"] == name
    as_csv = bankctl([*show, "-o", "csv"], environment=environment)
    (row,) = csv.DictReader(io.StringIO(as_csv.out.decode("utf-8")))
    assert row["name"] == name
    as_table = bankctl(show, environment=environment)
    assert as_table.status == 0
    shown = as_table.out.decode(encoding)
    assert "Zo" in shown
    assert ("\\u4e2d" in shown) == (encoding != "utf-8")
    listed = bankctl(["accounts", "list"], environment=environment).out.decode(encoding).splitlines()
    assert len({line.index("checking") for line in listed[1:]}) == 1
    bank.hooks.append(_refuse_with_name)
    refused = bankctl([*show, "-o", "json"], environment=environment)
    assert json.loads(refused.err.decode(encoding))["detail"] == "\u4e2d is away"


def _refuse_with_name(_: Request) -> None:
    raise ProblemError(404, "account_not_found", "not_found", "\u4e2d is away")


@pytest.mark.parametrize(
    "arguments",
    [
        [*PAY, "--reference", b"caf\xe9"],
        ["api", "POST", "/accounts", "--data", b'{"name": "caf\xe9"}'],
        [b"acc\xffounts", "list"],
        ["transfer", "--file", b"caf\xe9.csv"],
    ],
)
def test_an_argument_that_is_no_utf8_is_named(ann: Cli, bank: Bank, arguments: list[str | bytes]) -> None:
    ended = bankctl([*arguments, "-o", "json"])
    problem = json.loads(ended.err)
    number = next(place for place, argument in enumerate(arguments, 1) if isinstance(argument, bytes))
    assert (ended.status, problem["code"]) == (2, "not_utf8")
    assert problem["detail"].startswith(f"argument {number} is not UTF-8: ")
    assert bank.requests == []


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (("login", "--email", "ann@example.com", "--password-stdin"), b"caf\xe9\n"),
        (("api", "POST", "/accounts", "--data", "@-"), b'{"name": "\xff"}'),
        (("auth", "totp", "confirm", "--code-stdin"), b"\xff\n"),
    ],
)
def test_input_that_is_no_utf8_is_refused(
    ann: Cli, bank: Bank, arguments: tuple[str, ...], stdin: bytes
) -> None:
    for encoding in ("utf-8", "latin-1", "utf-8:surrogateescape"):
        ended = bankctl([*arguments, "-o", "json"], stdin=stdin, environment={"PYTHONIOENCODING": encoding})
        assert (ended.status, json.loads(ended.err)["code"]) == (2, "not_utf8")
    assert bank.requests == []


def test_input_that_cannot_be_read_is_named(ann: Cli) -> None:
    ended = bankctl([*TOKEN, "-o", "json"], redirections="0>/dev/null")
    assert (ended.status, json.loads(ended.err)["code"]) == (2, "stdin_unreadable")


@pytest.mark.parametrize("output", ["table", "json"])
def test_following_ends_at_once_with_its_reader_though_no_event_comes(ann: Cli, output: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "bankctl.main", "events", "tail", "--since-start", "-o", output],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
    ) as process:
        watchdog = threading.Timer(60, process.kill)
        watchdog.start()
        assert process.stderr is not None
        assert process.stdout is not None
        # What it says before the first event comes.
        assert b"following all events" in process.stderr.readline()
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate()
        watchdog.cancel()
    assert (process.returncode, err) == (141, b"")


def test_a_negative_amount_is_called_negative(ann: Cli, bank: Bank) -> None:
    for arguments in (
        ("transfer", ANN, BOB, "-5"),
        ("transfer", ANN, BOB, "-5.00"),
        ("admin", "fund", ANN, "-1"),
    ):
        outcome = ann(*arguments)
        assert outcome.status == 2
        assert "positive" in outcome.err
        assert "option" not in outcome.err
    assert bank.requests == []
