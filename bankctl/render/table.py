"""Tables for a terminal. Imported only when stdout is one: rich is slow to load."""

import io
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bankctl import invocation
from bankctl.render import messages
from bankctl.render.text import clean, displayable
from bankctl.streams import holds_unicode

if TYPE_CHECKING:
    from bankctl.render.column import Column


_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d)(:\d\d)?([+-]\d\d:\d\d)?")
_WIDTH = re.compile(r"[1-9][0-9]{0,4}")
_USUAL_WIDTH, _USUAL_HEIGHT = 80, 25
# What rich puts between two columns of this box, and at its edges.
_BETWEEN, _EDGES = 3, 2
_SHORTEST_CUT = 12
_STYLES = {
    "active": "green",
    "completed": "green",
    "ok": "green",
    "frozen": "yellow",
    "closed": "dim",
    "failed": "red",
    "FAILED": "bold red",
    "refused": "red",
    "warning": "yellow",
    "-": "dim",
}


class _Page(io.StringIO):
    """Text on its way to a stream; rich draws with what that stream's encoding has."""

    def __init__(self, stream: Any) -> None:
        super().__init__()
        self._encoding = str(getattr(stream, "encoding", None) or "utf-8")

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream."""
        return self._encoding


@dataclass(frozen=True)
class _Fit:
    """What of a table has room."""

    columns: Sequence["Column"]
    rows: Sequence[Sequence[str]]
    left_out: Sequence["Column"] = ()

    @property
    def least(self) -> int:
        """How many cells the table takes at least."""
        widths = [_least_width(column, self.cells(index)) for index, column in enumerate(self.columns)]
        return sum(widths) + _around(len(widths))

    def cells(self, index: int) -> list[str]:
        """The cells of one column."""
        return [row[index] for row in self.rows]

    def without(self, indices: set[int], *, noted: bool) -> "_Fit":
        """The table without some columns."""
        kept = [index for index in range(len(self.columns)) if index not in indices]
        dropped = [self.columns[index] for index in sorted(indices)] if noted else []
        return _Fit(
            [self.columns[index] for index in kept],
            [[row[index] for index in kept] for row in self.rows],
            [*self.left_out, *dropped],
        )


def console(*, stderr: bool = False, page: io.StringIO | None = None) -> Console:
    """A console for stdout or stderr that interprets no markup and colours only where wanted."""
    stream = sys.stderr if stderr else sys.stdout
    colored = invocation.current().colored(stream)
    width, height = terminal_size(stream)
    return Console(
        file=page or stream,
        markup=False,
        highlight=False,
        emoji=False,
        width=width,
        height=height,
        no_color=not colored,
        force_terminal=True if colored else None,
    )


def terminal_size(stream: Any) -> tuple[int, int]:
    """Columns and lines of the terminal that a stream writes to; COLUMNS overrides, if it makes sense."""
    try:
        size = os.get_terminal_size(stream.fileno())
        width, height = size.columns or _USUAL_WIDTH, size.lines or _USUAL_HEIGHT
    except (OSError, ValueError):
        width, height = _USUAL_WIDTH, _USUAL_HEIGHT
    given = os.environ.get("COLUMNS", "")
    return (int(given) if _WIDTH.fullmatch(given) else width), height


def table_text(cells: Sequence[Sequence[str]], columns: Sequence["Column"], title: str | None) -> str:
    """Lay already cleaned cells out as a table, or where not even its main columns fit, as blocks.

    An amount, a number or an id is never split or cut: half of it would mislead.
    """
    page = _Page(sys.stdout)
    out = console(page=page)
    _warn_of_zone(cells)
    rows: Sequence[Sequence[str]] = [[_local_time(cell) for cell in row] for row in cells]
    if title:
        out.print(Text(displayable(clean(title), sys.stdout), style="italic"))
    if not any(column.heading for column in columns):
        _print_grid(out, rows, columns)
    else:
        fit = _fit(_Fit(columns, rows), out.width)
        if fit is None:
            _print_blocks(out, rows, columns)
        else:
            rows, tight = _cut(fit, out.width)
            _print_grid(out, rows, fit.columns, tight=tight)
            if fit.left_out and rows:
                names = ", ".join(column.heading for column in fit.left_out)
                out.print(Text(f"no room for: {names} (-o csv has them)", style="dim"))
    return page.getvalue().removesuffix("\n")


def _fit(fit: _Fit, width: int) -> _Fit | None:
    """What has room: all, or without columns that say nothing, without seconds, without lesser columns."""
    if fit.least <= width:
        return fit
    silent = {
        index
        for index in range(len(fit.columns))
        if fit.rows and all(cell == "-" for cell in fit.cells(index))
    }
    fit = _shorter_times(fit.without(silent, noted=False), r"\1 \2\4")
    while fit.least > width:
        rank = max((column.rank for column in fit.columns), default=0)
        if rank == 0:
            fit = _shorter_times(fit, r"\1")
            return fit if fit.least <= width else None
        last = max(index for index, column in enumerate(fit.columns) if column.rank == rank)
        fit = fit.without({last}, noted=True)
    return fit


def _shorter_times(fit: _Fit, form: str) -> _Fit:
    rows = [[_TIME.sub(form, cell) if _TIME.fullmatch(cell) else cell for cell in row] for row in fit.rows]
    return replace(fit, rows=rows)


def _cut(fit: _Fit, width: int) -> tuple[Sequence[Sequence[str]], bool]:
    """The rows with their texts cut to what room there is, and whether the other columns have too little."""
    cut = [index for index, column in enumerate(fit.columns) if column.cut]
    others = [index for index in range(len(fit.columns)) if index not in cut]
    room = width - _around(len(fit.columns))
    natural = {index: _natural_width(fit, index) for index in range(len(fit.columns))}
    least = {index: _least_width(fit.columns[index], fit.cells(index)) for index in natural}
    left = room - sum(natural[index] for index in others) - sum(least[index] for index in cut)
    tight = left < 0
    if tight:
        left = room - sum(least.values())
    widths = {}
    # Equal shares; what a short one leaves goes to the longer ones.
    for place, index in enumerate(sorted(cut, key=lambda one: natural[one] - least[one])):
        more = min(left // (len(cut) - place), natural[index] - least[index])
        widths[index], left = least[index] + more, left - more
    rows = [
        [_cut_cell(cell, widths[index]) if index in widths else cell for index, cell in enumerate(row)]
        for row in fit.rows
    ]
    return rows, tight


def _cut_cell(cell: str, width: int) -> str:
    if cell_len(cell) <= width:
        return cell
    ellipsis = "…" if holds_unicode(sys.stdout) else "..."
    return set_cell_size(cell, max(width - len(ellipsis), 0)).rstrip() + ellipsis


def _print_grid(
    out: Console, rows: Sequence[Sequence[str]], columns: Sequence["Column"], *, tight: bool = False
) -> None:
    """Print a table; each cell becomes a Text, so that `[/]` in a name is just text."""
    headed = any(column.heading for column in columns)
    table = Table(box=box.SIMPLE_HEAD if headed else None, show_header=headed, pad_edge=False)
    for index, column in enumerate(columns):
        cells = [row[index] for row in rows]
        wraps = not headed or (
            not column.cut and any(" " in cell for cell in cells if not _TIME.fullmatch(cell))
        )
        table.add_column(
            Text(column.heading.replace(" ", "\n") if tight else column.heading),
            justify=column.justify,
            style=column.style,
            overflow="fold",
            no_wrap=not wraps,
            min_width=_least_width(column, cells) if headed else None,
        )
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    out.print(table)


def _print_blocks(out: Console, rows: Sequence[Sequence[str]], columns: Sequence["Column"]) -> None:
    width = max(len(column.heading) for column in columns)
    for number, row in enumerate(rows):
        if number:
            out.print()
        for column, cell in zip(columns, row, strict=True):
            if cell != "-":
                heading = Text(f"{column.heading:<{width}}  ", style="dim")
                out.print(heading + Text(cell, style=_STYLES.get(cell, "")), soft_wrap=True)


def _around(columns: int) -> int:
    return _BETWEEN * max(columns - 1, 0) + _EDGES


def _natural_width(fit: _Fit, index: int) -> int:
    return max(cell_len(text) for text in (*fit.cells(index), fit.columns[index].heading))


def _least_width(column: "Column", cells: Sequence[str]) -> int:
    """Return how narrow a column may be without splitting a word, a number or a time."""
    texts = (*cells, *column.heading.split())
    if column.cut:
        return max((min(cell_len(text), _SHORTEST_CUT) for text in texts), default=1)
    words = [word for text in texts for word in ([text] if _TIME.fullmatch(text) else text.split())]
    return max((cell_len(word) for word in words), default=1)


def _warn_of_zone(cells: Sequence[Sequence[str]]) -> None:
    if any(_INSTANT.fullmatch(cell) for row in cells for cell in row):
        named = invocation.unknown_zone()
        if named is not None:
            messages.warn(f"TZ is {named!r}, which names no time zone: times are in UTC")


def _local_time(cell: str) -> str:
    """Show a time as people read it where they are; programs get the exact one, by -o json.

    In the hour that comes twice when clocks are set back, the offset tells the one from the other. A time
    that this zone cannot express, such as one in the year 1 or 9999, is shown as it came.
    """
    if not _INSTANT.fullmatch(cell):
        return cell
    try:
        local = datetime.fromisoformat(cell).astimezone()
        wall = local.replace(tzinfo=None)
        first, second = (wall.replace(fold=fold).astimezone().utcoffset() for fold in (0, 1))
    except (ValueError, OverflowError, OSError):
        return cell
    offset = "" if first == second else local.isoformat()[-6:]
    return local.strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0") + offset
