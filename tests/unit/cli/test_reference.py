"""Help, its generated reference, completion, and a start that stays light."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bankctl import __version__
from bankctl.reference import reference, walk
from bankctl.registry import COMMANDS, build_root
from bankctl.topics import TEXTS, TOPICS
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB

HEAVY = (
    "httpx",
    "rich",
    "pydantic",
    "pydantic_core",
    "orjson",
    "jmespath",
    "stamina",
    "pymongo",
    "aiohttp",
    "confluent_kafka",
)
REPOSITORY = Path(__file__).parents[3]


def test_the_reference_is_that_of_the_present_commands() -> None:
    written = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == reference(), "run: python -m bankctl.reference > docs/cli.md"


def test_every_command_is_in_the_reference() -> None:
    text = (REPOSITORY / "docs" / "cli.md").read_text(encoding="utf-8")
    paths = [path for path, _ in walk(build_root())]
    assert len(paths) > 50
    for path in paths:
        assert f"\n## {path}\n" in text


def test_help_begins_with_what_it_is_for_and_examples() -> None:
    for path, context in walk(build_root()):
        text = context.command.get_help(context)
        before_options = text.split("\nOptions:")[0].split("\nArguments:")[0]
        assert "\n  Examples:\n" in before_options, path
        example = before_options.split("\n  Examples:\n")[1].splitlines()[0]
        assert "bankctl" in example, path
        second = before_options.split("\n\n")[2]
        assert second.startswith("  Examples:"), f"{path}: examples come right behind the summary"


def test_the_list_of_commands_says_what_each_is_for() -> None:
    for name, (_, _, summary) in COMMANDS.items():
        assert summary.endswith("."), name
        assert len(summary) < 60, name


def test_every_option_and_argument_is_explained() -> None:
    for path, context in walk(build_root()):
        for parameter in context.command.params:
            assert parameter.help, f"{path}: {parameter.name}"


def test_every_topic_is_printed(cli: Cli) -> None:
    assert set(TOPICS) == {*TEXTS, "exit-codes"}
    for topic in TOPICS:
        assert cli("help", topic).status == 0
    codes = {row["status"] for row in cli("help", "exit-codes", "-o", "json").json}
    assert codes == {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 130, 141}


def test_the_version_is_that_of_the_package(cli: Cli) -> None:
    assert __version__ == importlib.metadata.version("bankctl")
    assert cli("--version").out == f"bankctl {__version__}\n"
    assert cli("version", "-o", "json").json["bankctl"] == __version__


@pytest.mark.parametrize(
    "arguments",
    ["--version", "--help", "", "transfer --help", "transfer 4000000007 1234567894 1", "help exit-codes"],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(arguments: str) -> None:
    loaded = _loaded_by(*arguments.split(), status=2 if arguments.startswith("transfer 4") else 0)
    assert not loaded & set(HEAVY)
    if arguments == "--version":
        assert "typer" not in loaded


def test_a_file_that_is_paid_at_once_loads_no_more_than_that_takes(ann: Cli, tmp_path: Path) -> None:
    """Nothing is sent again, and JSON needs no models."""
    file = tmp_path / "one.csv"
    file.write_text(f"from,to,amount,currency\n{ANN},{BOB},1.00,EUR\n")
    loaded = _loaded_by("transfer", "--file", str(file), "--yes")
    assert ann("transfer", "--file", str(file), "--yes", "-o", "json").json["summary"]["skipped"] == 1
    assert {"httpx", "orjson"} <= loaded
    assert not loaded & {"stamina", "tenacity", "pydantic", "pydantic_core", "rich"}


def _loaded_by(*arguments: str, status: int = 0) -> set[str]:
    """The packages that a command line, which ends with the status, loads in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bankctl.main", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.returncode == status, finished.stderr
    return {line.rpartition("|")[2].strip().split(".")[0] for line in finished.stderr.splitlines()}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(cli: Cli, shell: str) -> None:
    outcome = cli("completion", shell)
    assert outcome.status == 0
    assert "_BANKCTL_COMPLETE" in outcome.out


def test_commands_are_completed() -> None:
    environment = {
        **os.environ,
        "_BANKCTL_COMPLETE": "complete_bash",
        "COMP_WORDS": "bankctl accounts st",
        "COMP_CWORD": "2",
    }
    finished = subprocess.run(
        [sys.executable, "-m", "bankctl.main"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert finished.stdout.split() == ["statement"]
