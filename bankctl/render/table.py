"""Tables for a terminal. Imported only when stdout is one: rich is slow to load."""

import re
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bankctl import invocation
from bankctl.render.text import clean

if TYPE_CHECKING:
    from bankctl.render.column import Column


_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
# What rich puts between two columns of this box, and a little more than at its edges.
_BETWEEN, _EDGES = 3, 8
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


def console(*, stderr: bool = False) -> Console:
    """A console for stdout or stderr that interprets no markup and colours only where wanted."""
    stream = sys.stderr if stderr else sys.stdout
    colored = invocation.current().colored(stream)
    return Console(
        file=stream,
        markup=False,
        highlight=False,
        emoji=False,
        no_color=not colored,
        force_terminal=True if colored else None,
    )


def print_table(cells: Sequence[Sequence[str]], columns: Sequence["Column"], title: str | None) -> None:
    """Print already cleaned cells as a table, or where that is too wide as one block for each row.

    Only text is ever wrapped, at spaces: half an amount or an account number would mislead.
    """
    out = console()
    rows: Sequence[Sequence[str]] = [[_local_time(cell) for cell in row] for row in cells]
    if title:
        out.print(Text(clean(title), style="italic"))
    if not any(column.heading for column in columns):
        _print_grid(out, rows, columns)
        return
    columns, rows = _without_empty(columns, rows, out.width)
    if _narrowest(columns, rows) <= out.width:
        _print_grid(out, rows, columns)
    else:
        _print_blocks(out, rows, columns)


def _print_grid(out: Console, rows: Sequence[Sequence[str]], columns: Sequence["Column"]) -> None:
    """Print a table; each cell becomes a Text, so that `[/]` in a name is just text."""
    headed = any(column.heading for column in columns)
    table = Table(box=box.SIMPLE_HEAD if headed else None, show_header=headed, pad_edge=False)
    for index, column in enumerate(columns):
        wraps = not headed or any(" " in row[index] for row in rows if not _TIME.fullmatch(row[index]))
        table.add_column(
            Text(column.heading),
            justify=column.justify,
            style=column.style,
            overflow="fold",
            no_wrap=not wraps,
            min_width=_least_width(column, [row[index] for row in rows]) if headed else None,
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


def _without_empty(
    columns: Sequence["Column"], rows: Sequence[Sequence[str]], width: int
) -> tuple[Sequence["Column"], Sequence[Sequence[str]]]:
    """Leave out columns that say nothing in any row, if that is what it takes to fit."""
    if not rows or _narrowest(columns, rows) <= width:
        return columns, rows
    kept = [index for index in range(len(columns)) if any(row[index] != "-" for row in rows)]
    return [columns[index] for index in kept], [[row[index] for index in kept] for row in rows]


def _narrowest(columns: Sequence["Column"], rows: Sequence[Sequence[str]]) -> int:
    least = [_least_width(column, [row[index] for row in rows]) for index, column in enumerate(columns)]
    return sum(least) + _BETWEEN * (len(columns) - 1) + _EDGES


def _least_width(column: "Column", cells: Sequence[str]) -> int:
    """Return how narrow a column may be without splitting a word, a number or a time."""
    words = [word for cell in cells for word in ([cell] if _TIME.fullmatch(cell) else cell.split())]
    return max((cell_len(word) for word in (*words, *column.heading.split())), default=1)


def _local_time(cell: str) -> str:
    """Show a time as people read it where they are; programs get the exact one, by -o json."""
    if not _INSTANT.fullmatch(cell):
        return cell
    return datetime.fromisoformat(cell).astimezone().strftime("%Y-%m-%d %H:%M:%S")
