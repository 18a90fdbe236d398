"""Progress of a start on stderr: live on a terminal, one line per change elsewhere, nothing with --quiet."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from bankctl import invocation
from bankctl.local.part import Health, PartState
from bankctl.local.progress import Progress, Silence
from bankctl.render import messages

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {
    Health.HEALTHY: "green",
    Health.FAILED: "red",
    Health.RESTARTING: "yellow",
    Health.UNHEALTHY: "yellow",
}


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """The progress that suits where stderr goes."""
    if invocation.current().quiet:
        yield Silence()
    elif invocation.is_terminal(sys.stderr):
        with LiveProgress() as live:
            yield live
    else:
        yield LineProgress()


class LineProgress:
    """A line for each part that changes: for logs and pipes."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._seen: dict[str, Health] = {}

    def message(self, text: str) -> None:
        """Write a line."""
        messages.note(text)

    def parts(self, states: Sequence[PartState]) -> None:
        """Write a line for each part that is now something else."""
        for state in states:
            if self._seen.get(state.name) is not state.health:
                self._seen[state.name] = state.health
                why = f" ({state.detail})" if state.detail and state.health is not Health.STARTING else ""
                messages.note(f"{time.monotonic() - self._began:5.1f} s  {state.name}: {state.health}{why}")

    @contextmanager
    def download(self, title: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """Write a line before and after."""
        messages.note(f"fetching {title}, {total_bytes / 1e6:.0f} MB, once")
        yield lambda _received: None
        messages.note(f"fetched {title}")


class LiveProgress:
    """A table that follows the parts, and bars for downloads: for terminals."""

    def __init__(self) -> None:
        # Only terminals need rich.
        from rich.live import Live  # noqa: PLC0415

        from bankctl.render.table import console  # noqa: PLC0415

        self._began = time.monotonic()
        self._console = console(stderr=True)
        self._live = Live(console=self._console, transient=True, refresh_per_second=8)
        self._open = ExitStack()
        self._showing = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self._open.close()

    def message(self, text: str) -> None:
        """Write a line above what is live."""
        messages.note(text)

    def parts(self, states: Sequence[PartState]) -> None:
        """Show the parts as they are now."""
        if not self._showing:
            self._open.enter_context(self._live)
            self._showing = True
        self._live.update(self._table(states))

    def download(self, title: str, total_bytes: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show a bar."""
        return self._bar(title, total_bytes)

    @contextmanager
    def _bar(self, title: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        from rich import progress as bars  # noqa: PLC0415 - only the first start needs it

        columns = (
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(),
            bars.DownloadColumn(),
            bars.TransferSpeedColumn(),
            bars.TimeRemainingColumn(),
        )
        with bars.Progress(*columns, console=self._console) as shown:
            task = shown.add_task(title, total=total_bytes)
            yield lambda received: shown.advance(task, received)

    def _table(self, states: Sequence[PartState]) -> "Table":
        from rich.table import Table  # noqa: PLC0415 - only terminals need it
        from rich.text import Text  # noqa: PLC0415 - same

        table = Table.grid(padding=(0, 2))
        for state in states:
            table.add_row(
                Text(state.name),
                Text(state.health, style=_STYLES.get(state.health, "dim")),
                Text(state.detail or "", style="dim", overflow="ellipsis", no_wrap=True),
            )
        table.add_row(Text(f"{time.monotonic() - self._began:.1f} s", style="dim"))
        return table
