"""`bankctl events top`: the overview as text, JSON and CSV, and the screen, driven by textual's own pilot."""

import asyncio
import csv
import io
import json
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from textual.containers import ItemGrid
from textual.pilot import Pilot
from textual.widgets import Static

from bankctl.client.bank import BankClient, open_bank
from bankctl.commands.events_top import overview, sections
from bankctl.errors import CliError, ExitStatus
from bankctl.render.screen import SectionsApp
from bankctl.render.section import Section
from daemons.notifier.event_log.models import EventsSummaryView
from tests.support.waiting import PATIENCE_SECONDS, eventually
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, BOB, NOW, USER, Bank, ProblemError, Request

EVENT: dict[str, Any] = {
    "position": 41,
    "id": "01890a5d-ac96-774b-bcce-b302099a8057",
    "type": "TransactionFailed",
    "time": NOW,
    "key": ANN,
    "source": "/banking_api",
    "data": {
        "amount": {"amount": "250.00", "currency": "EUR"},
        "sender": {"account_id": ANN, "owner": {"user_id": USER, "display_name": "Ann\x1b[2J [b]Berg"}},
        "receiver": {"account_id": BOB, "owner": None},
        "failure": {"code": "insufficient_funds", "detail": "No money."},
    },
    "severity": "warning",
    "partition": 3,
    "offset": 17,
    "received_at": NOW,
}
DELIVERY: dict[str, Any] = {
    "id": "01890a5d-ac96-774b-bcce-b302099a8058",
    "cause": "event",
    "cause_id": EVENT["id"],
    "channel": "email",
    "recipient": USER,
    "is_urgent": False,
    "state": "failed",
    "attempts": 2,
    "created_at": NOW,
    "due_at": NOW,
    "settled_at": None,
    "fault": "421 the server is away, and says so at such length that no screen has room for all of it",
}
SUMMARY: dict[str, Any] = {
    "at": NOW,
    "window_seconds": 60,
    "position": 42,
    "newest_at": NOW,
    "newest_delay_seconds": 0.046,
    "total": 750,
    "counted_up_to": 20_000,
    "events": [
        {"type": "TransactionCompleted", "count": 738},
        {"type": "TransactionFailed", "count": 12},
        {"type": "AccountChanged", "count": 0},
    ],
    "reasons": [{"code": "insufficient_funds", "count": 10}, {"code": "account_frozen", "count": 2}],
    "waiting": [
        {"topic": "TransactionCompleted", "records": 7},
        {"topic": "TransactionFailed", "records": 0},
    ],
    "deliveries": [
        {"channel": "email", "unsettled": 5, "failing": 3, "oldest_at": NOW, "oldest_age_seconds": 185.0}
    ],
    "last_failures": [EVENT],
    "last_undelivered": [DELIVERY],
}


@pytest.fixture
def watched(bank: Bank, ann: Cli) -> Cli:
    """The command line of support staff, at a bank where things happen."""
    EventsSummaryView.model_validate_json(json.dumps(SUMMARY))
    bank.summary = SUMMARY
    return ann


def test_once_prints_every_part_in_eighty_columns(watched: Cli) -> None:
    outcome = watched("events", "top", "--once")
    assert outcome.status == 0, outcome.err
    for told in (
        "TransactionCompleted 738 12.3",
        "all 750 12.5",
        "insufficient_funds 10",
        "relay 3 the oldest for 1.5 s",
        "consumer 7 TransactionCompleted 7",
        "recorded 42 the newest at",
        "46 ms after it",
        "email 5 3 failing, the oldest for 3 min",
        "250.00 EUR",
        "Ann [b]Berg",
        "421 the server is away",
    ):
        assert told in " ".join(outcome.out.split()), outcome.out
    assert "AccountChanged" not in outcome.out
    assert "\x1b" not in outcome.out
    assert max(map(len, outcome.out.splitlines())) <= 80


def test_once_gives_programs_all_figures(watched: Cli, bank: Bank) -> None:
    found = watched("events", "top", "--once", "--window", "600", "-o", "json").json
    assert found == {"events": SUMMARY, "relay": bank.outbox, "missing": {}}
    assert bank.sent("/events/summary")[0].query == {"window": "600"}
    assert watched("events", "top", "--once", "--query", "events.position").json == 42
    rows = list(csv.DictReader(io.StringIO(watched("events", "top", "--once", "-o", "csv").out)))
    figures = {(row["measure"], row["of"]): row["value"] for row in rows}
    assert figures["events_per_second", "TransactionCompleted"] == "12.3"
    assert figures["relay_waiting_events", ""] == "3"
    assert figures["consumer_waiting_records", "TransactionCompleted"] == "7"
    assert figures["deliveries_failing", "email"] == "3"
    assert figures["refused", "account_frozen"] == "2"


@pytest.mark.parametrize(
    ("away", "kept"), [("/ledger", "TransactionCompleted"), ("/events", "the oldest for 1.5 s")]
)
def test_what_one_daemon_cannot_say_is_named_and_the_rest_is_shown(
    watched: Cli, bank: Bank, away: str, kept: str
) -> None:
    def refuse(request: Request) -> None:
        if request.path.startswith(away):
            raise ProblemError(403, "forbidden", "forbidden", "This is for staff.")

    bank.hooks.append(refuse)
    outcome = watched("events", "top", "--once")
    assert outcome.status == 0, outcome.err
    assert "This is for staff." in outcome.out
    assert kept in outcome.out
    bank.hooks.append(lambda request: refuse(Request("GET", away, request.headers, b"")))
    assert watched("events", "top", "--once").status == 5


def test_what_was_not_counted_to_the_end_is_marked(watched: Cli, bank: Bank) -> None:
    bank.summary = {**SUMMARY, "counted_up_to": 738, "total": 1600}
    out = " ".join(watched("events", "top", "--once").out.split())
    assert "TransactionCompleted 738+ 12.3+ TransactionFailed 12 0.2 all 1,600 26.7" in out


def test_what_is_not_known_is_not_shown_as_nothing(watched: Cli, bank: Bank) -> None:
    bank.summary = {
        **SUMMARY,
        "waiting": None,
        "deliveries": [],
        "newest_at": None,
        "newest_delay_seconds": None,
    }
    out = " ".join(watched("events", "top", "--once").out.split())
    assert "consumer ? Kafka does not answer" in out
    assert "deliveries 0 nothing waits" in out


def test_the_screen_needs_a_terminal_and_people(watched: Cli, bank: Bank) -> None:
    for arguments, hint in (
        (("events", "top"), "use --once"),
        (("events", "top", "-o", "json"), "add --once"),
    ):
        outcome = watched(*arguments)
        assert outcome.status == 2
        assert hint in outcome.err
    assert bank.requests == []


class Terminal(io.StringIO):
    """A stream that is one."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("__stdin__", "__stdout__", "__stderr__"):
        monkeypatch.setattr(sys, name, Terminal())


@pytest.mark.usefixtures("terminal")
def test_without_textual_the_remedy_is_named(watched: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "textual"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "bankctl.render.screen")
    monkeypatch.setitem(sys.modules, "textual", None)
    outcome = watched("events", "top")
    assert outcome.status == 1
    for told in ("textual", "[top]", "--once"):
        assert told in outcome.err
    assert watched("events", "top", "--once").status == 0


@pytest.mark.usefixtures("terminal")
def test_a_terminal_that_cannot_show_the_screen_is_told(
    watched: Cli, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as plain:
        plain.setenv("TERM", "dumb")
        assert "needs a terminal" in watched("events", "top").err
    monkeypatch.setattr(sys, "__stdout__", Terminal("latin-1"))
    outcome = watched("events", "top")
    assert (outcome.status, "UTF-8" in outcome.err) == (2, True)
    assert bank.requests == []


class Reading:
    """What the screen reads: the sections of the played bank over HTTP, or a fault."""

    def __init__(self) -> None:
        self.is_closed = False
        self.fault: CliError | None = None
        self.count = 0
        self.held: threading.Event | None = None

    def read(self, bank: BankClient) -> Sequence[Section]:
        self.count += 1
        if self.held is not None:
            self.held.wait()
        if self.fault is not None:
            raise self.fault
        return sections(overview(bank, 60))

    @contextmanager
    def open(self) -> Iterator[Callable[[], Sequence[Section]]]:
        with open_bank() as bank:
            yield lambda: self.read(bank)
        self.is_closed = True


@pytest.fixture
def reading(watched: Cli) -> Reading:
    """The played bank, as the command reads it."""
    assert watched is not None
    return Reading()


@asynccontextmanager
async def screen(
    reading: Reading, *, columns: int = 80, rows: int = 24, every_seconds: float = 3600
) -> AsyncIterator[tuple[SectionsApp, Pilot[None]]]:
    """The screen, as long as the block runs; then nothing reads any more."""
    app = SectionsApp(
        reading.open, title="bankctl events top, test", every_seconds=every_seconds, colored=True
    )
    try:
        async with app.run_test(size=(columns, rows)) as pilot:
            yield app, pilot
    finally:
        if reading.held is not None:
            reading.held.set()
        await asyncio.to_thread(app.end_reading, PATIENCE_SECONDS)
    assert reading.is_closed


async def frames_of(app: SectionsApp, pilot: Pilot[None]) -> list[Static]:
    """The frames, once they are there."""

    async def shown() -> bool:
        await pilot.pause()
        return len(app.query(".section")) > 1

    await eventually(shown)
    await pilot.pause()
    return list(app.query_one("#grid", ItemGrid).query(Static))


def text_on(app: SectionsApp) -> str:
    """What stands on the screen."""
    return "\n".join(
        "".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()
    )


@pytest.mark.parametrize(("columns", "side_by_side"), [(80, 1), (120, 2)])
async def test_frames_stand_side_by_side_where_there_is_room(
    reading: Reading, columns: int, side_by_side: int
) -> None:
    async with screen(reading, columns=columns, rows=40) as (app, pilot):
        frames = await frames_of(app, pilot)
        assert len({frame.region.x for frame in frames}) == side_by_side
        assert max(frame.region.right for frame in frames) <= columns
        text = text_on(app)
        for told in ("TransactionCompleted", "insufficient_funds", "the oldest for 3 min", "250.00 EUR"):
            assert told in text
        assert ("Ann [b]Berg" in text) == (side_by_side == 1)
        assert [frame.border_title for frame in frames if frame.has_class("alarm")] == [
            "Waiting",
            "Last not delivered",
        ]
        # What has no room is cut, not wrapped.
        assert [frame.region.height for frame in frames[:2]] == [6, 7] if side_by_side == 1 else [7, 7]
        assert all(len(line) <= columns for line in text.splitlines())


@pytest.mark.parametrize(("key", "interrupted"), [("q", False), ("ctrl+c", True)])
async def test_a_key_ends_it_though_the_bank_does_not_answer(
    reading: Reading, key: str, *, interrupted: bool
) -> None:
    reading.held = threading.Event()
    async with screen(reading) as (app, pilot):
        await pilot.press(key)
    assert app.interrupted is interrupted
    assert app.failure is None


async def test_a_bank_that_is_away_is_asked_again_and_what_was_read_stays(reading: Reading) -> None:
    async with screen(reading, every_seconds=0.05) as (app, pilot):
        await frames_of(app, pilot)
        reading.fault = CliError("the bank is away", exit_status=ExitStatus.UNREACHABLE, code="unreachable")

        async def told() -> bool:
            await pilot.pause()
            return "the bank is away" in text_on(app)

        await eventually(told)
        assert "TransactionCompleted" in text_on(app)
        before, reading.fault = reading.count, None

        async def read_again() -> bool:
            await pilot.pause()
            return reading.count > before and "the bank is away" not in text_on(app)

        await eventually(read_again)


async def test_an_ended_session_ends_the_screen_and_is_told_there(reading: Reading) -> None:
    reading.fault = CliError("the session ended", exit_status=ExitStatus.NOT_LOGGED_IN, code="session_ended")
    async with screen(reading) as (app, pilot):

        async def ended() -> bool:
            await pilot.pause()
            return app.failure is not None

        await eventually(ended)
    assert app.failure is reading.fault
