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

    def lines(self) -> list[str]:
        """The headings and rows in columns, or the note, without anything that drives a terminal."""
        if not self.rows:
            return [clean(self.note)]
        headed = [list(self.headings), *([clean(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[index]) for row in headed) for index in range(len(self.headings))]
        return [
            _BETWEEN.join(
                cell.rjust(width) if index in self.right else cell.ljust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in headed
        ]


def as_text(sections: Sequence[Section]) -> list[str]:
    """The sections below each other, in lines of at most TEXT_WIDTH characters; longer ones are cut."""
    lines: list[str] = []
    for section in sections:
        mark = " (!)" if section.alarm else ""
        lines += [f"{section.title}{mark}", *(f"{_INDENT}{line}" for line in section.lines())]
    return [line if len(line) <= TEXT_WIDTH else f"{line[: TEXT_WIDTH - 1]}…" for line in lines]
