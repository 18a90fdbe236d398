"""docs/security.md names code and tests that exist, so that it cannot promise what is gone."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.security_breaks.breaks import Break, breaks, items
from tests.support.tamperings import page

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.findall(r"`((?:daemons|bankctl|tests|deploy)/[\w./-]+)(?:::(\w+))?`", TEXT)


@cache
def functions_of(path: str) -> frozenset[str]:
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def test_every_file_and_test_it_names_exists() -> None:
    missing = [
        f"{path}::{name}" if name else path
        for path, name in NAMED
        if not (REPOSITORY / path).is_file() or (name and name not in functions_of(path))
    ]
    assert NAMED
    assert missing == []


def test_every_row_names_code_and_a_test() -> None:
    rows = [line for line in TEXT.splitlines() if re.match(r"\| \d+ ", line)]
    numbers = [int(row.split()[1]) for row in rows]
    # What was found by trial, up to 42, comes with what mends it.
    assert {*range(1, 36), 37} <= set(numbers) <= set(range(1, 43))
    assert len(set(numbers)) == len(numbers)
    for row in rows:
        _, _, code, test, _ = row.split("|")
        assert code.count("`") >= 2, row
        assert "::test_" in test, row


def test_the_table_of_tamperings_is_the_one_that_is_tried() -> None:
    text = (REPOSITORY / "docs" / "tamperings.md").read_text(encoding="utf-8")
    assert text == page(), "run make docs"


def test_every_item_has_a_break() -> None:
    """`make breaks` sees the tests fail that these entries name."""
    assert [item.text for item in items() if not any(one.is_of(item) for one in breaks())] == []


@pytest.mark.parametrize("one", breaks(), ids=lambda one: f"{one.item}: {one.broken}")
def test_a_break_changes_one_place_and_names_a_test_of_its_item(one: Break) -> None:
    text = (REPOSITORY / one.file).read_text(encoding="utf-8")
    assert text.count(one.old) == 1
    assert one.new != one.old
    if one.file.endswith(".py"):
        ast.parse(text.replace(one.old, one.new))
    [item] = [item for item in items() if one.is_of(item)]
    assert one.test in item.tests
