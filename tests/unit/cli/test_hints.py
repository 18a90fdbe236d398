"""Hints: each command that a text of the program names is one that the parser takes, for its profile."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer import Exit, TyperException
from typer._click.exceptions import MissingParameter
from typer.core import TyperGroup

import bankctl
from bankctl import invocation
from bankctl.client.problems import _HINTS, error_from_problem
from bankctl.config import upsert_profile
from bankctl.installation import how_to_install
from bankctl.registry import COMMANDS, build_root
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, Bank, ProblemError, Request

SOURCES = sorted(
    path
    for package in ("bankctl", "daemons")
    for path in (Path(bankctl.__file__).parents[1] / package).rglob("*.py")
)
DOCUMENTS = sorted(Path(bankctl.__file__).parents[1].glob("*.md"))
_QUOTED = re.compile(r"`(bankctl(?: [^`]*)?)`")
_EXAMPLE = re.compile(r"^(?: {2,}|.*\| )(bankctl [^\n]*)$", re.MULTILINE)
_BARE = re.compile(rf"(?<![-\w/.`])bankctl ({'|'.join(COMMANDS)})\b")
# What stands for a value in a text, and a value that its command takes.
_SAMPLES = {
    "N": "5",
    "NUMBER": "5",
    "POSITION": "5",
    "SECONDS": "5",
    "COMMAND": "transfer",
    "TOPIC": "money",
    "SCOPE": "use_own_accounts",
}


def texts(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """Each text of a module with its line, and whether it is a docstring; values are in capitals."""
    docstrings, parts = set(), set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            docstrings.add(id(body[0].value))
        if isinstance(node, ast.JoinedStr):
            parts.update(id(value) for value in node.values)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(_part(value) for value in node.values), False
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.lineno, node.value, id(node) in docstrings


def _part(value: ast.expr) -> str:
    if isinstance(value, ast.Constant):
        return str(value.value)
    name = ast.unparse(value).strip("{}")
    # These are whole options, or nothing.
    if "_option(" in name:
        return ""
    return {"position": "5", "unwell.name": "mongod"}.get(name, "VALUE")


def named_commands() -> Iterator[tuple[str, str]]:
    for path in SOURCES:
        for line, text, _ in texts(ast.parse(path.read_text(encoding="utf-8"))):
            # A hint of the bank's problems is filled in later.
            filled = re.sub(r"\{(\w+)\}", lambda match: match[1].upper(), text)
            for command in (*_QUOTED.findall(filled), *_EXAMPLE.findall(filled)):
                if command not in {"bankctl ...", "bankctl VALUE"}:
                    yield f"{path.name}:{line}", command


def parse(command: str) -> None:
    """Read a command line with the real parser, without running it."""
    text = re.split(r" (?:&&|\||>>?|#) |  +(?=[a-z(])", command.removesuffix(" \\"))[0].strip()
    words = [_SAMPLES.get(word, word) for word in shlex.split(text)][1:]
    context = build_root().make_context("bankctl", words or ["--help"], resilient_parsing=not words)
    while isinstance(context.command, TyperGroup) and context._protected_args:
        name, child, rest = context.command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert child is not None
        if isinstance(child, TyperGroup) and not rest:
            return  # A group of commands, named as such.
        context = child.make_context(name, rest, parent=context)


def test_every_command_that_a_text_names_is_one_that_the_parser_takes() -> None:
    found = list(named_commands())
    assert len(found) > 150
    faults = []
    for place, command in found:
        try:
            parse(command)
        except MissingParameter:
            # A sentence may name a command alone; a hint of the bank's problems is to be run as it stands.
            if place.startswith("problems.py"):
                faults.append(f"{place}: {command}: not whole")
        except (TyperException, bankctl.errors.CliError, AssertionError, ValueError) as error:
            faults.append(f"{place}: {command}: {getattr(error, 'message', None) or error}")
        except Exit:
            continue  # --help
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "wrong",
    [
        "bankctl accounts shw 1",
        "bankctl transactions retry --every",
        "bankctl admin approvals approve",
        "bankctl nothing",
        "bankctl accounts list --limit few",
    ],
)
def test_a_command_that_does_not_exist_would_be_found(wrong: str) -> None:
    with pytest.raises(TyperException):
        parse(wrong)


def test_commands_in_messages_are_marked_as_such() -> None:
    """Only then the profile can be added to them."""
    bare = [
        f"{path.name}:{line}: {text}"
        for path in SOURCES
        for line, text, is_docstring in texts(ast.parse(path.read_text(encoding="utf-8")))
        if not is_docstring and "\n" not in text and path.name not in {"topics.py", "registry.py", "stage.py"}
        if _BARE.search(_QUOTED.sub("", text))
        and not text.endswith("--help")
        and not text.startswith("bankctl dev VALUE")
    ]
    assert not bare, "\n".join(bare)


def test_hints_hold_the_values_at_hand(ann: Cli, bank: Bank) -> None:
    def refuse(code: str) -> Any:
        def hook(_: Request) -> None:
            raise ProblemError(409, code, "conflict")

        return hook

    request_id = "0190a1b2-0000-7000-8000-000000000001"
    for code, arguments, path, wanted in (
        ("account_frozen", ("accounts", "show", ANN), f"/accounts/{ANN}", f"`bankctl accounts show {ANN}`"),
        (
            "insufficient_funds",
            ("transfer", ANN, BOB, "1", "--yes"),
            "/transactions/transfer",
            f"`bankctl balance {ANN}`",
        ),
        (
            "approval_decided",
            ("admin", "approvals", "show", request_id),
            f"/approvals/ledger/{request_id}",
            f"`bankctl admin approvals show {request_id}`",
        ),
        (
            "account_already_frozen",
            ("admin", "freeze", ANN, "--reason", "lost"),
            f"/accounts/{ANN}/freeze",
            f"`bankctl admin unfreeze {ANN} --reason WHY`",
        ),
    ):
        bank.once(path, refuse(code))
        assert wanted in ann(*arguments, "-o", "json").problem["hint"]


def test_whose_session_ended_is_told_to_log_in_as_themselves(ann: Cli, bank: Bank) -> None:
    bank.cookie = bank.refresh_cookie = "other"
    assert ann("whoami", "-o", "json").problem["hint"] == "`bankctl login --email ann@example.com`"


def test_every_hint_can_be_filled_in_without_values() -> None:
    for code in _HINTS:
        hint = error_from_problem({"code": code, "category": "conflict"}, None).hint
        assert hint
        assert "{" not in hint


def test_a_hint_names_the_profile_that_the_run_named(ann: Cli, bank: Bank) -> None:
    ann("config", "copy", "test", "olga")
    hint = ann("whoami", "--profile", "olga", "-o", "json").problem["hint"]
    assert hint == "`bankctl login --profile olga`"
    assert "--profile olga" in ann("accounts", "show", "4000000007", "--profile", "olga").err
    assert "--profile" not in ann("accounts", "show", "4000000007").err
    # What concerns all profiles takes none.
    assert "`bankctl config list` shows" in ann("config", "use", "nowhere", "--profile", "olga").err


def test_who_registers_is_not_told_to_end_the_session_of_who_is_logged_in(ann: Cli, bank: Bank) -> None:
    register = ("register", "--name", "Bob", "--password-stdin", "--email")
    told = ann(*register, "bob.ray@example.com", stdin="correct horse\n").err
    assert "`bankctl config copy test bob-ray`" in told
    assert "`bankctl login --profile bob-ray --email bob.ray@example.com`" in told
    own = ann(*register, "ann@example.com", stdin="correct horse\n").err
    assert "`bankctl login --profile test --email ann@example.com`" in own
    upsert_profile("bob-ray", url="https://127.0.0.1:1", ca_file=None)
    again = ann(*register, "bob.ray@example.com", stdin="correct horse\n").err
    assert "--profile bob-ray-2 " in again


def test_a_remedy_that_names_a_package_installs_into_this_environment() -> None:
    words = shlex.split(how_to_install("local"))
    assert words[0] == sys.executable
    assert words[-1].endswith("[local]")
    # The first words are a program that runs, and it knows where bankctl came from.
    ran = subprocess.run([*words[:3], "--version"], capture_output=True, check=True, timeout=60, text=True)
    assert sys.prefix in ran.stdout
    assert (Path(words[-1].removesuffix("[local]")) / "pyproject.toml").is_file()


def test_a_parse_error_shows_help_of_the_command_at_hand(cli: Cli) -> None:
    assert "`bankctl accounts list --help`" in cli("accounts", "list", "--nothing").err
    assert invocation.current().profile is None
