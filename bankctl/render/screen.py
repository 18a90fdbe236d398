"""A screen of sections that is read again and again; only here is textual imported, which is an extra."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import ItemGrid, VerticalScroll
from textual.message import Message
from textual.widgets import Static

from bankctl.errors import CliError, ExitStatus
from bankctl.render.section import Section
from bankctl.render.text import clean

Read = Callable[[], Sequence[Section]]
OpenReader = Callable[[], AbstractContextManager[Read]]
_NARROWEST = 58
"""How many columns a frame needs; a screen of twice as many has two side by side."""
_PASSING = {ExitStatus.UNREACHABLE, ExitStatus.OUTCOME_UNKNOWN}
"""Faults after which asking again may help."""


_END_SECONDS = 2.0
"""How long the end waits for an answer that is under way."""


def show_screen(open_reader: OpenReader, *, title: str, every_seconds: float, colored: bool) -> None:
    """Show what is read, again and again, until the person ends it.

    Reading is done in a thread, which opens the reader and closes it: what it uses is closed by nobody else,
    and a bank that does not answer keeps nobody here.

    Raises:
        CliError: the bank says that asking again will not help.
        KeyboardInterrupt: Ctrl-C was pressed.
    """
    app = SectionsApp(open_reader, title=title, every_seconds=every_seconds, colored=colored)
    app.run(mouse=False)
    app.end_reading(_END_SECONDS)
    if app.failure is not None:
        raise app.failure
    if app.interrupted:
        raise KeyboardInterrupt


class _WasRead(Message):
    """The outcome of reading."""

    def __init__(self, sections: Sequence[Section], failure: Exception | None = None) -> None:
        super().__init__()
        self.sections = sections
        self.failure = failure


class SectionsApp(App[None]):
    """Frames side by side where there is room, below each other where there is not."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #title, #status { height: 1; padding: 0 1; }
    #title { text-style: bold; }
    #status.fault { color: $error; text-style: bold; }
    #sections { height: 1fr; }
    ItemGrid { height: auto; grid-gutter: 0; }
    .section { height: auto; border: round $primary; padding: 0 1; }
    .section { text-wrap: nowrap; text-overflow: ellipsis; }
    .section.alarm { border: heavy $warning; border-title-color: $warning; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "End"),
        Binding("ctrl+c", "interrupt", "End", priority=True),
        Binding("space", "read", "Read now"),
    ]

    def __init__(self, open_reader: OpenReader, *, title: str, every_seconds: float, colored: bool) -> None:
        super().__init__()
        self._open_reader = open_reader
        self._heading = clean(title)
        self._every_seconds = every_seconds
        self._colored = colored
        self._is_wanted = threading.Event()
        self._is_over = False
        self._reader = threading.Thread(target=self._read, name="read", daemon=True)
        self._shown_at: float | None = None
        self._fault: str | None = None
        self.failure: Exception | None = None
        self.interrupted = False

    def compose(self) -> ComposeResult:
        """Make the lines at the top and the bottom; the frames come with what is read."""
        yield Static(Text(self._heading, no_wrap=True, overflow="ellipsis"), id="title")
        with VerticalScroll(id="sections"):
            yield ItemGrid(min_column_width=_NARROWEST, id="grid")
        yield Static(id="status")

    def on_mount(self) -> None:
        """Begin to read."""
        if not self._colored:
            self.theme = "textual-ansi"
        self.query_one("#sections").focus()
        self._reader.start()
        self.set_interval(1.0, self._say_how_old)

    def action_read(self) -> None:
        """Ask the bank now."""
        self._is_wanted.set()

    def end_reading(self, patience_seconds: float) -> None:
        """Wait until what is read is closed, but no longer than that."""
        self._is_over = True
        self._is_wanted.set()
        self._reader.join(patience_seconds)

    def _read(self) -> None:
        with self._open_reader() as read:
            while not self._is_over:
                self._is_wanted.clear()
                try:
                    outcome = _WasRead(read())
                except Exception as failure:  # noqa: BLE001  # it is raised where the command is run
                    outcome = _WasRead([], failure)
                self.post_message(outcome)
                self._is_wanted.wait(self._every_seconds)

    def action_interrupt(self) -> None:
        """End as Ctrl-C ends other commands."""
        self.interrupted = True
        self.exit()

    async def on__was_read(self, outcome: _WasRead) -> None:
        """Show what was read, or what kept it from being read; what was shown stays."""
        failure = outcome.failure
        if failure is None:
            self._shown_at, self._fault = time.monotonic(), None
            await self._show(outcome.sections)
        elif isinstance(failure, CliError) and failure.exit_status in _PASSING:
            self._fault = failure.message
        else:
            self.failure = failure
            self.exit()
        self._say_how_old()

    async def _show(self, sections: Sequence[Section]) -> None:
        grid = next(iter(self.query("#grid").results(ItemGrid)), None)
        if grid is None:
            # What comes at the end has nowhere to be shown.
            return
        frames = list(grid.query(Static))
        if len(frames) != len(sections):
            await grid.remove_children()
            frames = [Static(classes="section") for _ in sections]
            await grid.mount_all(frames)
        for frame, section in zip(frames, sections, strict=True):
            frame.border_title = section.title
            frame.set_class(section.alarm, "alarm")
            frame.update(_drawn(section))

    def _say_how_old(self) -> None:
        age = None if self._shown_at is None else time.monotonic() - self._shown_at
        told = "asking the bank" if age is None else f"as of {age:.0f} s ago"
        told = f"{told}; {clean(self._fault)}" if self._fault else told
        # At the end the lines may be gone before the last tick.
        for status in self.query("#status").results(Static):
            status.update(Text(f"q ends it; {told}", no_wrap=True, overflow="ellipsis"))
            status.set_class(self._fault is not None, "fault")


def _drawn(section: Section) -> Text:
    lines = section.lines()
    text = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
    if not section.rows:
        text.stylize("dim")
    elif section.headings:
        text.stylize("dim", 0, len(lines[0]))
    return text
