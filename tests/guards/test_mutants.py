"""What `make mutants` reads names code and tests that exist; a list that names nothing would pass unseen."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
HARMLESS: list[dict[str, str]] = tomllib.loads((ROOT / "tests/mutants/harmless.toml").read_text("utf-8"))[
    "harmless"
]


def modules(pattern: str) -> list[str]:
    """The modules that a pattern of `only_mutate` stands for."""
    paths = sorted(ROOT.glob(pattern))
    return [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in paths]


@pytest.mark.parametrize("pattern", SETTINGS["only_mutate"])
def test_each_module_exists_and_mypy_looks_at_it(pattern: str) -> None:
    found = modules(pattern)
    assert found
    checked = {option.partition("=")[2] for option in SETTINGS["type_check_command"] if "=daemons." in option}
    checked |= {
        option.partition("=")[2] for option in SETTINGS["type_check_command"] if "=bankctl." in option
    }
    assert [name for name in found if name not in checked and name.rpartition(".")[0] not in checked] == []


@pytest.mark.parametrize("path", SETTINGS["pytest_add_cli_args_test_selection"])
def test_each_test_exists(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("entry", HARMLESS, ids=lambda entry: str(entry["function"]))
def test_each_harmless_fault_is_of_a_line_that_is_there(entry: dict[str, str]) -> None:
    parts = entry["function"].split(".")
    split = next(
        n for n in range(len(parts), 0, -1) if (ROOT / Path(*parts[:n])).with_suffix(".py").is_file()
    )
    text = (ROOT / Path(*parts[:split])).with_suffix(".py").read_text("utf-8")
    for name in parts[split:]:
        assert re.search(rf"\b(def|class) {name}\b", text), name
    code, line = (re.sub(r"\s+", "", written) for written in (text, entry["line"]))
    assert line in code
