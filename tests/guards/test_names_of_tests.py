"""Whoever changes a module of the ledger finds its tests by its name."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.stem for path in (ROOT / "daemons/banking_api/ledger").glob("[!_]*.py"))
TESTS = {path.stem for kind in ("unit", "integration") for path in (ROOT / "tests" / kind).rglob("test_*.py")}
TRIED_WITH = {
    "ledger": "test_node",  # what both sides of it have in common
    "schema": "test_journal",  # its unique numbers
    "server": "test_front",  # the other end of the stream
    "tls": "test_front",
}


def test_the_modules_are_found() -> None:
    assert len(MODULES) >= 20
    assert set(TRIED_WITH) <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_modules_tests_have_its_name(module: str) -> None:
    wanted = TRIED_WITH.get(module, f"test_{module}")
    assert any(test == wanted or test.startswith(f"{wanted}_") for test in TESTS), wanted
