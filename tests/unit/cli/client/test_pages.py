"""Order and resumption: pages follow their cursor, a stream its position, and neither loses any."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from bankctl.client import event_stream
from bankctl.client.event_filter import EventFilter
from bankctl.client.event_stream import Following, Watcher, follow
from bankctl.client.pages import iterate
from bankctl.errors import CliError, ExitStatus
from tests.unit.cli.commands.test_events import event
from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import ANN, Bank, Request


class Pages:
    """A list of the bank: pages of the size that is asked for, each known by the cursor of the one before."""

    def __init__(self, count: int, *, empty_before: int | None = None) -> None:
        self.items = [{"id": number} for number in range(count)]
        self.asked: list[Mapping[str, Any]] = []
        self._empty_before = empty_before

    def request(self, method: str, path: str, *, params: Mapping[str, Any]) -> Any:
        assert (method, path) == ("GET", "/things")
        self.asked.append(params)
        start = int((params["cursor"] or "c0").removeprefix("c"))
        size = params["limit"]
        if start == self._empty_before:
            # Nothing on this page is for the caller; the list goes on all the same.
            self._empty_before = None
            return SimpleNamespace(data={"items": [], "next_cursor": f"c{start}"})
        end = start + size
        more = f"c{end}" if end < len(self.items) else None
        return SimpleNamespace(data={"items": self.items[start:end], "next_cursor": more})


def ids(pages: Any, limit: int | None) -> list[int]:
    return [item["id"] for item in iterate(pages, "/things", params={"status": "open"}, limit=limit)]


def test_all_pages_come_in_their_order_each_behind_the_one_before() -> None:
    pages = Pages(450)
    assert ids(pages, None) == list(range(450))
    assert [asked["cursor"] for asked in pages.asked] == [None, "c200", "c400"]
    assert all(asked["status"] == "open" for asked in pages.asked)


def test_the_next_page_is_asked_for_only_when_it_is_needed() -> None:
    pages = Pages(450)
    items = iterate(pages, "/things", params={}, limit=None)  # type: ignore[arg-type]
    for _ in range(200):
        next(items)
    assert len(pages.asked) == 1
    assert next(items) == {"id": 200}
    assert len(pages.asked) == 2


@pytest.mark.parametrize(
    ("count", "limit", "requests", "says_more"),
    [
        (450, 250, 2, True),
        (450, 200, 1, True),
        (200, 200, 1, False),
        (3, 5, 1, False),
        (5, 5, 1, False),
        (5, 4, 1, True),
    ],
)
def test_a_limit_ends_the_list_where_it_says_and_tells_of_more(
    capsys: pytest.CaptureFixture[str], count: int, limit: int, requests: int, says_more: bool
) -> None:
    pages = Pages(count)
    assert ids(pages, limit) == list(range(min(count, limit)))
    assert len(pages.asked) == requests
    assert ("there are more" in capsys.readouterr().err) == says_more


@pytest.mark.parametrize(
    ("limit", "size"), [(None, 200), (0, 1), (1, 1), (2, 2), (199, 199), (200, 200), (201, 200)]
)
def test_no_more_is_asked_for_than_is_wanted(limit: int | None, size: int) -> None:
    pages = Pages(3)
    ids(pages, limit)
    assert [asked["limit"] for asked in pages.asked] == [size]


def test_an_empty_page_is_not_the_end() -> None:
    assert ids(Pages(300, empty_before=200), None) == list(range(300))


def test_a_list_that_leads_back_to_itself_ends_as_broken() -> None:
    pages = SimpleNamespace(
        request=lambda *_, **__: SimpleNamespace(data={"items": [{"id": 1}], "next_cursor": "again"})
    )
    with pytest.raises(CliError) as raised:
        ids(pages, None)
    assert (raised.value.code, raised.value.exit_status) == ("broken_list", ExitStatus.UNEXPECTED)
    assert raised.value.hint == "`bankctl doctor` compares versions"


def test_history_has_the_order_that_is_asked_for(ann: Cli, bank: Bank) -> None:
    bank.events += [event(1), event(2), event(3)]
    shown = ann("events", "history", "--order", "asc", "--query", "[].position").json
    assert shown == [1, 2, 3]
    assert ann("events", "history", "--query", "[].position").json == [3, 2, 1]


class Streams:
    """Streams that are played one after another; time passes only in pauses, and by what a stream says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *streams: list[Any]) -> None:
        self.positions: list[str] = []
        self.pauses: list[float] = []
        self.now = 0.0
        self._streams = list(streams)
        self.http = self
        monkeypatch.setattr(
            event_stream, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        )

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    @contextmanager
    def stream(self, _path: str, *, headers: Mapping[str, str], **_: Any) -> Iterator[httpx.Response]:
        self.positions.append(headers["Last-Event-ID"])
        assert len(self.positions) < 200, "it never gives up"
        if not self._streams:
            raise CliError("gone", exit_status=ExitStatus.UNREACHABLE, code="unreachable")
        played = self._streams.pop(0)
        if played == ["refuse"]:
            raise CliError("away", exit_status=ExitStatus.UNREACHABLE, code="unreachable")
        text = "".join(f"id: {one['position']}\ndata: {json.dumps(one)}\n\n" for one in played)
        yield httpx.Response(200, headers={"Content-Type": "text/event-stream"}, text=text)


def followed(streams: Streams, *, after: int = 0, wait_seconds: float = 1.0) -> tuple[list[int], CliError]:
    """What was shown until the stream was given up, and why."""
    shown: list[int] = []
    following = Following(EventFilter(), after, None, wait_seconds)
    watcher = Watcher(lambda _: None, lambda _: None, lambda *_: None)
    told = follow(streams, following, watcher)  # type: ignore[arg-type]
    with pytest.raises(CliError) as raised:
        shown.extend(one["position"] for one in told)
    return shown, raised.value


def test_a_stream_goes_on_behind_the_last_event_that_came(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = Streams(monkeypatch, [event(6), event(9)], [], [event(10)])
    shown, error = followed(streams, after=5)
    assert shown == [6, 9, 10]
    assert streams.positions[:4] == ["5", "9", "9", "10"]
    assert (error.code, error.exit_status) == ("stream_lost", ExitStatus.UNREACHABLE)
    assert "--after 10" in (error.hint or "")


def test_what_a_stream_repeats_is_shown_once_and_takes_no_position_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams = Streams(monkeypatch, [event(1), event(2), event(3)], [event(2), event(3), event(4)], [event(1)])
    shown, error = followed(streams)
    assert shown == [1, 2, 3, 4]
    assert streams.positions[2:4] == ["4", "4"]
    assert "--after 4" in (error.hint or "")


def test_patience_begins_anew_with_every_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each outage is shorter than the patience, all of them together are not."""
    played = [part for number in range(1, 9) for part in (["refuse"], ["refuse"], [event(number)])]
    streams = Streams(monkeypatch, *played)
    shown, _ = followed(streams, wait_seconds=2.0)
    assert shown == list(range(1, 9))
    assert sum(streams.pauses) > 8


def test_patience_ends_when_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that open and close again without an event are no sign of life."""
    streams = Streams(monkeypatch, *[[] for _ in range(50)])
    shown, error = followed(streams, wait_seconds=10.0)
    assert shown == []
    assert error.code == "stream_lost"
    assert 5 < sum(streams.pauses) <= 10
    assert streams.pauses == sorted(streams.pauses)


def test_a_stream_begins_where_it_is_told_to(ann: Cli, bank: Bank) -> None:
    bank.events += [event(1), event(2), event(3)]
    out = ann("events", "tail", "--after", "2", "--count", "1", "-o", "json").out
    assert json.loads(out)["position"] == 3
    assert bank.sent("/events")[0].headers["Last-Event-ID"] == "2"
    assert ann("events", "history", "--account", ANN, "--limit", "1").status == 0


def test_the_newest_position_is_asked_for_before_the_stream_is_opened(ann: Cli, bank: Bank) -> None:
    """Else an event between the two would be missed, or all of the history be shown."""
    bank.events += [event(1), event(2)]
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(f"{request.path}?{request.query.get('order', '')}")
        if request.path == "/events":
            bank.events.append(event(3))

    bank.hooks.append(note)
    ann("events", "tail", "--count", "1", "-o", "json")
    assert asked == ["/events/history?desc", "/events?"]
    assert bank.sent("/events")[0].headers["Last-Event-ID"] == "2"
