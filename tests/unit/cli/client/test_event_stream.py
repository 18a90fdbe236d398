"""Following the bank's stream: how it is asked for, what it says of itself, and when it is given up."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from bankctl.client import event_stream
from bankctl.client.event_filter import EventFilter
from bankctl.client.event_stream import Following, Watcher, follow
from bankctl.errors import CliError, ExitStatus

AWAY = CliError("the bank is away", exit_status=ExitStatus.UNREACHABLE, code="unreachable", request_id="r-1")


def frame(position: int, event_id: str | None = None) -> str:
    return f'id: {position}\nevent: X\ndata: {{"position": {position}, "id": "{event_id or position}"}}\n\n'


def position(reached: int, last: int) -> str:
    data = f'{{"position": {reached}, "last_position": {last}}}'
    return f"id: {reached}\nevent: reached\ndata: {data}\n\n"


class Bank:
    """Plays one stream after the other, each a text or an error; the last one stays."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *streams: str | CliError) -> None:
        self.http = self
        self.asked: list[dict[str, Any]] = []
        self.pauses: list[float] = []
        self.lost: list[CliError] = []
        self.lagging: list[int] = []
        self.positions: list[tuple[int, int]] = []
        self.now = 0.0
        self._streams = list(streams)
        time = SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        monkeypatch.setattr(event_stream, "time", time)

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    @contextmanager
    def stream(self, path: str, **asked: Any) -> Iterator[httpx.Response]:
        assert len(self.asked) < 100, "it never gives up"
        self.asked.append({"path": path, **asked})
        played = self._streams.pop(0) if len(self._streams) > 1 else self._streams[0]
        if isinstance(played, CliError):
            raise played
        headers = {"Content-Type": "text/event-stream"}
        yield httpx.Response(200, headers=headers, text=played)

    def follow(
        self,
        *,
        after: int | None = 0,
        first: str | None = None,
        wait_seconds: float = 0.0,
        wanted: EventFilter = EventFilter(),  # noqa: B008  # it never changes
    ) -> Iterator[Mapping[str, Any]]:
        told = Watcher(self.lost.append, self.lagging.append, lambda *both: self.positions.append(both))
        return follow(self, Following(wanted, after, first, wait_seconds), told)  # type: ignore[arg-type]

    def ended(self, **how: Any) -> tuple[list[int], CliError]:
        """What was shown until the end, and what ended it."""
        shown: list[int] = []
        with pytest.raises(CliError) as raised:
            shown.extend(one["position"] for one in self.follow(**how))
        return shown, raised.value


def test_the_stream_is_asked_for_behind_a_position(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = Bank(monkeypatch, frame(8))
    wanted = EventFilter(types="A,B", account="4000000006", failures=True, since="2026-11-24")
    assert next(bank.follow(after=7, wanted=wanted)) == {"position": 8, "id": "8"}
    assert bank.asked == [
        {
            "path": "/events",
            "params": {
                "type": "A,B",
                "account": "4000000006",
                "user": None,
                "min_amount": None,
                "failures": "true",
                "since": "2026-11-24T00:00:00.000Z",
            },
            "headers": {
                "Accept": "text/event-stream",
                "Cache-Control": "no-store",
                "Last-Event-ID": "7",
            },
            "idle_seconds": 40.0,
        }
    ]


def test_what_is_no_event_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = ": ping\n\nretry: 1000\n\n"
    text = f"{nothing}event: X\ndata: {{}}\n\n{frame(4)}{nothing}{frame(5)}"
    shown, _ = Bank(monkeypatch, text).ended()
    assert shown == [4, 5]
    assert Bank(monkeypatch, "retry: 1000\nid: 3\n\n" + frame(4)).ended()[0] == [4]


def test_who_is_behind_is_told_by_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    said = 'event: lagging\ndata: {"position": 40, "last_position": 140}\n\n'
    bank = Bank(monkeypatch, frame(40) + said + frame(41))
    assert bank.ended()[0] == [40, 41]
    assert bank.lagging == [100]


def test_a_stream_that_begins_with_an_event_is_resumed_behind_what_was_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bank = Bank(monkeypatch, AWAY, position(6, 9) + frame(7), position(8, 9), frame(9))
    news = bank.follow(after=None, first="e-7", wait_seconds=60)
    assert [one["position"] for one in (next(news), next(news))] == [7, 9]
    assert [asked["headers"].get("Last-Event-ID") for asked in bank.asked] == [None, None, "7", "8"]
    assert [asked["params"].get("from") for asked in bank.asked] == ["e-7", "e-7", None, None]
    assert bank.positions == [(6, 9), (8, 9)]


def test_who_was_cut_off_for_being_slow_resumes_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said = 'event: too_slow\ndata: {"code": "too_slow", "detail": "..."}\n\n'
    bank = Bank(monkeypatch, frame(1) + said + frame(8), frame(2), AWAY)
    shown, _ = bank.ended(wait_seconds=0.5)
    assert shown == [1, 2]
    assert bank.asked[1]["headers"]["Last-Event-ID"] == "1"
    assert bank.lost[0].code == "too_slow"
    assert bank.lost[0].message == "this reader was cut off because it took nothing for a while"


def test_too_many_streams_are_refused_at_once_but_not_after_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stream that was cut the bank may not know yet."""
    full = CliError("full", exit_status=ExitStatus.UNREACHABLE, code="too_many_streams")
    assert Bank(monkeypatch, full).ended(wait_seconds=60) == ([], full)
    assert Bank(monkeypatch, frame(1), full, full, frame(2), AWAY).ended(wait_seconds=2)[0] == [1, 2]


def test_a_session_that_has_ended_is_asked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking again renews it, or tells why it cannot be."""
    ended = 'event: session_ended\ndata: {"code": "session_ended"}\n\n'
    refused = CliError("log in", exit_status=ExitStatus.NOT_LOGGED_IN, code="not_signed_in")
    bank = Bank(monkeypatch, frame(1) + ended + frame(9), frame(2), refused)
    shown, error = bank.ended(wait_seconds=60)
    assert (shown, error) == ([1, 2], refused)
    assert [asked["headers"]["Last-Event-ID"] for asked in bank.asked] == ["0", "1", "2"]
    assert [(cause.code, cause.message, cause.exit_status) for cause in bank.lost] == [
        ("closed", "the bank closed the stream", ExitStatus.UNREACHABLE)
    ] * 2


@pytest.mark.parametrize("text", ["id: 1\ndata: {no JSON\n\n", "id: 1\ndata: \x80\n\n"])
def test_a_stream_that_cannot_be_read_is_told_as_such(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    _, error = Bank(monkeypatch, text).ended(wait_seconds=60)
    assert (error.code, error.exit_status) == ("broken_stream", ExitStatus.UNEXPECTED)
    assert error.message.startswith("the bank's stream cannot be read: ")
    assert not error.message.endswith("None")
    assert error.hint == "`bankctl doctor` compares versions"


@pytest.mark.parametrize(
    "final",
    [
        CliError("no", exit_status=ExitStatus.FORBIDDEN, code="forbidden"),
        CliError("no", exit_status=ExitStatus.UNREACHABLE, code="tls_untrusted"),
    ],
)
def test_what_will_not_pass_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, final: CliError) -> None:
    bank = Bank(monkeypatch, final)
    assert bank.ended(wait_seconds=60) == ([], final)
    assert bank.pauses == []


def test_pauses_grow_up_to_a_longest_one(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = Bank(monkeypatch, AWAY)
    shown, error = bank.ended(after=7, wait_seconds=20.0)
    assert (shown, bank.pauses) == ([], [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])
    assert bank.lost == [AWAY] * 7
    assert (error.code, error.exit_status, error.request_id) == ("stream_lost", ExitStatus.UNREACHABLE, "r-1")
    assert error.message == "the stream is lost and did not come back within 20 s: the bank is away"
    assert error.hint == "`bankctl doctor`; then go on with `bankctl events tail --after 7`"
    assert error.__cause__ is AWAY


def test_the_last_moment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = Bank(monkeypatch, AWAY)
    bank.ended(wait_seconds=0.2)
    assert bank.pauses == [0.2]


def test_a_stream_that_came_back_has_all_of_its_time_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bank = Bank(monkeypatch, AWAY, AWAY, AWAY, frame(1), AWAY)
    assert bank.ended(wait_seconds=3.0)[0] == [1]
    assert bank.pauses == [0.2, 0.4, 0.8, 0.2, 0.4, 0.8, 1.6]


def test_only_the_latest_events_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream may go on for months."""
    monkeypatch.setattr(event_stream, "_REMEMBERED", 2)
    text = "".join(frame(position, name) for position, name in enumerate("abacba", 1))
    shown, _ = Bank(monkeypatch, text).ended()
    # The second a and the second b are repetitions; the first a is forgotten when c comes.
    assert shown == [1, 2, 4, 6]
