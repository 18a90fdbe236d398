"""Each test belongs to exactly one of `make test` and `make faults`, and CI runs both."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

from tests.support.workers import group

ROOT = Path(__file__).parents[2]
COMMANDS = ("test", "faults")
# What may stand beside the choice of tests: none of it leaves a test out.
CHOOSES_NOTHING = re.compile(r"-q|-n|\d+|--durations=\d+|--dist=\w+|--no-loadscope-reorder")


def recipe(target: str) -> str:
    found = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found is not None, target
    return found[1].replace("\\\n", " ")


def chosen_by(target: str) -> Expression:
    """Return which markers the command's one run of pytest asks for; nothing else may leave tests out."""
    [run] = re.findall(r"\$\(BIN\)/pytest(.*)", recipe(target))
    option, expression, *others = shlex.split(run)
    assert option == "-m", run
    assert [word for word in others if not CHOOSES_NOTHING.fullmatch(word)] == []
    return Expression.compile(expression)


@pytest.mark.parametrize("markers", [set(), {"campaign"}, {"asyncio"}, {"campaign", "asyncio"}])
def test_whatever_a_test_is_marked_with_exactly_one_command_runs_it(markers: set[str]) -> None:
    runs = [chosen_by(target).evaluate(lambda name, **_: name in markers) for target in COMMANDS]
    assert sorted(runs) == [False, True]


def test_what_shares_costly_servers_is_run_by_one_worker() -> None:
    def of(*files: str) -> set[str]:
        return {group(f"tests/{file}::test_something") for file in files}

    assert len(of("e2e/test_kills.py", "e2e/test_people.py")) == 1
    assert len(of("integration/banking_api/test_relay.py", "integration/notifier/test_dead_letters.py")) == 1
    assert len(of("guards/test_rates.py", "guards/test_callers.py", "e2e/test_kills.py")) == 3
    assert group("tests/guards/test_rates.py::test_a") == group("tests/guards/test_rates.py::test_b[1]")
    assert group("tests/faults/test_planted_bugs.py::test[a]") != group(
        "tests/faults/test_planted_bugs.py::test[b]"
    )


def test_ci_runs_both() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert [line for line in lines if line.startswith("make")] == [f"make {target}" for target in COMMANDS]


def test_no_setting_leaves_a_test_out() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    assert settings["testpaths"] == ["tests"]
    assert not re.search(r"--ignore|--deselect|-k\b|-m\b|--lf|--ff", settings["addopts"])
    for conftest in (ROOT / "tests").rglob("conftest.py"):
        assert "collect_ignore" not in conftest.read_text(), conftest


def test_every_file_of_tests_is_collected() -> None:
    """Pytest looks into files of one form of name only, and says nothing of the others."""
    with_tests = [
        path
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"^(async )?def test_", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert len(with_tests) > 100
    assert [path for path in with_tests if not path.name.startswith("test_")] == []
