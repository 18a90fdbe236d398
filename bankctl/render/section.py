"""A titled part of an overview, which a screen puts in a frame and plain text under a heading."""

from collections.abc import Sequence
from dataclasses import dataclass

from bankctl.render.text import clean

TEXT_WIDTH = 80
_BETWEEN = "  "
_INDENT = "  "


@dataclass(frozen=True, slots=True)
class Section:
    """Rows under headings, or a note in their place; `right` are the columns of numbers."""

    title: str
    headings: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    right: frozenset[int] = frozenset()
    note: str = "none"
    alarm: bool = False
    """Whether somebody should look at it."""

    def cells(self) -> list[list[str]]:
        """The rows without anything that drives a terminal."""
        return [[clean(cell) for cell in row] for row in self.rows]


def as_text(sections: Sequence[Section]) -> list[str]:
    """The sections below each other, in lines of at most TEXT_WIDTH characters; longer ones are cut."""
    lines: list[str] = []
    for section in sections:
        mark = " (!)" if section.alarm else ""
        lines += [f"{section.title}{mark}", *_table(section)]
    return lines


def _table(section: Section) -> list[str]:
    rows = section.cells()
    if not rows:
        return [f"{_INDENT}{clean(section.note)}"[:TEXT_WIDTH]]
    headed = [list(section.headings), *rows]
    widths = [max(len(row[index]) for row in headed) for index in range(len(section.headings))]
    lines = []
    for row in headed:
        cells = [
            cell.rjust(width) if index in section.right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = f"{_INDENT}{_BETWEEN.join(cells)}".rstrip()
        lines.append(line if len(line) <= TEXT_WIDTH else f"{line[: TEXT_WIDTH - 1]}…")
    return lines
