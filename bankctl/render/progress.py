"""Progress of long work, on stderr and only if that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bankctl import invocation


@contextmanager
def progress_bar(label: str, *, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar while the body runs; yields what moves it on by some steps."""
    if invocation.current().quiet or not invocation.is_terminal(sys.stderr):
        yield lambda _steps: None
        return
    # Slow to load, and only a terminal needs it.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from bankctl.render.table import console  # noqa: PLC0415
    from bankctl.render.text import clean  # noqa: PLC0415

    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(clean(label), total=total)
        yield lambda steps: bar.advance(task, steps)
