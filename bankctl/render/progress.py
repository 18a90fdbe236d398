"""Progress of long work, on stderr and only if that is a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bankctl import invocation

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def progress_bar(label: str, *, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar while the body runs; yields what moves it on by some steps."""
    if not progress_is_shown():
        yield lambda _steps: None
        return
    from bankctl.render.text import clean  # noqa: PLC0415

    with _bar() as bar:
        task = bar.add_task(clean(label), total=total)
        yield lambda steps: bar.advance(task, steps)


@contextmanager
def phases() -> Iterator[Callable[[str, int, int], None]]:
    """Show a bar for each phase while the body runs; yields what tells phase, steps done and all steps."""
    if not progress_is_shown():
        yield lambda _phase, _done, _total: None
        return
    from bankctl.render.text import clean  # noqa: PLC0415

    tasks: dict[str, TaskID] = {}
    with _bar() as bar:

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)
                tasks[phase] = bar.add_task(clean(phase))
            bar.update(tasks[phase], completed=done, total=max(done, total), visible=True)

        yield show


def progress_is_shown() -> bool:
    """Whether somebody sees it."""
    return not invocation.current().quiet and invocation.is_terminal(sys.stderr)


def _bar() -> "Progress":
    # Slow to load, and only a terminal needs it.
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from bankctl.render.table import console  # noqa: PLC0415

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console(stderr=True),
        transient=True,
    )
