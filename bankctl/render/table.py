"""Tables for a terminal. Imported only when stdout is one: rich is slow to load."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bankctl import invocation
from bankctl.render.text import clean

if TYPE_CHECKING:
    from bankctl.render.column import Column


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
    """Print already cleaned cells; each becomes a Text, so that `[/]` in a name is just text."""
    headed = any(column.heading for column in columns)
    table = Table(
        box=box.SIMPLE_HEAD if headed else None,
        show_header=headed,
        title=Text(clean(title)) if title else None,
        title_justify="left",
        pad_edge=False,
    )
    for column in columns:
        table.add_column(Text(column.heading), justify=column.justify, style=column.style, overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    console().print(table)
