"""Each page in docs/adr/ has one form and is in the index; supersession is noted on both pages."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "adr"
PAGES = sorted(FOLDER.glob("[0-9]*.md"))
HEAD = re.compile(
    r"# (\d+)\. ([^\n]+)\n\n\*\*Date:\*\* (\d{4}-\d\d-\d\d) · \*\*Status:\*\* (.+?)\n\n", re.DOTALL
)
SECTIONS = ["Context", "Decision", "Consequences", "Alternatives", "Revisit when"]
OPTIONAL = "Alternatives"
STATUS = re.compile(r"(proposed|accepted|superseded (in part )?by \[ADR \d+\])")


@dataclass(frozen=True)
class Page:
    path: Path
    number: int
    title: str
    date: str
    status: str
    sections: list[str]

    def others(self, relation: str) -> set[int]:
        """The numbers that the status names after `supersedes` or `superseded ... by`."""
        found = re.search(rf"{relation}(.*?)(;|$)", self.status)
        return {int(number) for number in re.findall(r"\[ADR (\d+)\]", found[1])} if found else set()


def read(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    head = HEAD.match(text)
    assert head is not None, (
        f"{path.name} must begin: # N. Title / **Date:** YYYY-MM-DD · **Status:** accepted"
    )
    sections = re.findall(r"^## (.+)$", text, re.MULTILINE)
    return Page(path, int(head[1]), head[2], head[3], " ".join(head[4].split()), sections)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_each_page_has_the_one_form(path: Path) -> None:
    page = read(path)
    assert page.path.name.startswith(f"{page.number:04}-")
    assert page.sections in (SECTIONS, [name for name in SECTIONS if name != OPTIONAL])
    assert STATUS.match(page.status)


def test_the_index_lists_each_page_as_it_says_itself() -> None:
    rows = [
        line
        for line in (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
        if re.match(r"\| \d", line)
    ]
    pages = [read(path) for path in PAGES]
    assert rows == [
        f"| {one.number} | [{one.title}]({one.path.name}) | {one.date} | {one.status} |" for one in pages
    ]


def test_what_supersedes_a_page_is_said_on_both_sides() -> None:
    pages = [read(path) for path in PAGES]
    newer = {(old, one.number) for one in pages for old in one.others("supersedes")}
    older = {(one.number, new) for one in pages for new in one.others("superseded")}
    assert newer
    assert newer == older
