"""Every collection that a daemon uses is in the table of what its account may do at MongoDB."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemons.contracts.mongo_accounts import CHANGED, INSERT_ONLY

DAEMONS = Path(__file__).parents[2] / "daemons"


def collections_of(daemon: str) -> Iterator[str]:
    """Return the names that stand as `database["name"]`, or as the constants of the daemon's schema."""
    schema = DAEMONS / daemon / ("ledger/schema.py" if daemon == "banking_api" else "schema.py")
    constants = {
        target.id: node.value.value
        for node in ast.parse(schema.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str)
    }
    for path in [*(DAEMONS / daemon).rglob("*.py"), *(DAEMONS / "shared").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value).endswith("database"):
                if isinstance(node.slice, ast.Constant):
                    yield str(node.slice.value)
                elif isinstance(node.slice, ast.Name) and node.slice.id in constants:
                    yield constants[node.slice.id]


@pytest.mark.parametrize("daemon", CHANGED)
def test_every_collection_may_be_changed_or_is_evidence(daemon: str) -> None:
    found = set(collections_of(daemon))
    assert len(found) > 5
    assert found <= {*CHANGED[daemon], *INSERT_ONLY}


def test_what_is_evidence_is_changed_by_nobody() -> None:
    assert not any(INSERT_ONLY & set(names) for names in CHANGED.values())
