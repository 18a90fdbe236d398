"""What is broken to see the tests of docs/security.md fail, and the items that these tests stand for."""

import ast
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
_DOCUMENT = REPOSITORY / "docs" / "security.md"
_TABLE = Path(__file__).with_name("breaks.toml")
_TEST = re.compile(r"`(tests/[\w./-]+\.py::\w+)`")


@dataclass(frozen=True)
class Item:
    """A row of docs/security.md."""

    text: str
    tests: frozenset[str]


@dataclass(frozen=True)
class Break:
    """One way to break an item: in `file` the text `old`, which stands there once, becomes `new`."""

    item: str
    """The number of the item; of an item without a number, how its row begins."""

    broken: str
    """What no longer holds."""

    file: str
    old: str
    new: str
    test: str
    """The test that must fail, one of those that the item's row names."""

    def is_of(self, item: Item) -> bool:
        """Tell whether the break is one of this item."""
        return item.text == self.item or item.text.startswith(f"{self.item} ")

    @property
    def node_id(self) -> str:
        """Return the test as pytest knows it: the document leaves the class out that a test may be in."""
        file, _, name = self.test.partition("::")
        tree = ast.parse((REPOSITORY / file).read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and any(getattr(one, "name", "") == name for one in node.body):
                return f"{file}::{node.name}::{name}"
        return self.test

    def apply(self, root: Path) -> None:
        """Break the copy of the product at `root`."""
        file = root / self.file
        text = file.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.file} has {text.count(self.old)} times, not once: {self.old}")
        file.write_text(text.replace(self.old, self.new), encoding="utf-8")


def items() -> list[Item]:
    """Return every row of the document that names tests, in the document's order."""
    found = []
    for line in _DOCUMENT.read_text(encoding="utf-8").splitlines():
        tests = frozenset(_TEST.findall(line))
        if line.startswith("| ") and tests:
            found.append(Item(line.split("|")[1].strip(), tests))
    return found


def breaks() -> list[Break]:
    """Return every break of the table."""
    return [Break(**entry) for entry in tomllib.loads(_TABLE.read_text(encoding="utf-8"))["break"]]
