"""Event streams as they leave the daemon: their frames, how many there may be, and how each of them ends."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiohttp_sse import EventSourceResponse
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from daemons.contracts.errors import TransientError, UnauthenticatedError
from daemons.contracts.names import EventType
from daemons.contracts.permissions import Role
from daemons.notifier.event import RecordedEvent, Selection
from daemons.notifier.streams import streams as event_streams
from daemons.notifier.streams.follower import Lagging, Reached
from daemons.notifier.streams.frames import event_frame
from daemons.notifier.streams.streams import (
    Beginning,
    EventStreams,
    StreamLimits,
    TooManyStreamsError,
    TooManyStreamsOfOneCallerError,
)
from daemons.shared.auth.callers import Caller
from daemons.shared.http.requests import CALLER_KEY, REQUEST_ID_KEY
from daemons.shared.ids import new_id
from tests.support.waiting import PATIENCE_SECONDS, eventually, patience
from tests.unit.notifier.test_follower import FAILURES, event

AWAY = TransientError("unavailable", "away")
OPENING = b'retry: 1000\nid: 7\n\nid: 7\nevent: reached\ndata: {"position": 7, "last_position": 12}\n\n'
RECONNECT = b"retry: 1000\n\n"
SESSION_ENDED = b'event: session_ended\ndata: {"code": "session_ended"}\n\n'

Step = Sequence[RecordedEvent] | Lagging | Reached | BaseException | asyncio.Event


def support() -> Caller:
    return Caller(new_id(), new_id(), Role.SUPPORT, "Sam")


class Bank:
    """Plays who follows the log (a step after the other, then nothing more) and who knows the sessions."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.followed: list[tuple[int, Selection]] = []
        self.caller = support()
        self.renewals: list[Caller | Exception] = []
        """What is answered, one after the other, when a session is asked for; the last one stays."""
        self.asked = 0
        self.ended = 0
        self.served = 0

    async def follow(self, position: int, selection: Selection) -> AsyncGenerator[Any]:
        self.followed.append((position, selection))
        try:
            for step in self.steps:
                if isinstance(step, asyncio.Event):
                    await step.wait()
                elif isinstance(step, BaseException):
                    raise step
                else:
                    yield step
            await asyncio.Event().wait()
        finally:
            self.ended += 1

    async def renew(self, caller: Caller) -> Caller:
        assert caller.session_id == self.caller.session_id
        self.asked += 1
        if not self.renewals:
            return caller
        answer = self.renewals.pop(0) if len(self.renewals) > 1 else self.renewals[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def bank(monkeypatch: pytest.MonkeyPatch) -> Bank:
    monkeypatch.setattr(event_streams, "SESSION_CHECK_SECONDS", 0.02)
    monkeypatch.setattr(event_streams, "_DISCONNECT_CHECK_SECONDS", 0.01)
    return Bank()


def streams_of(bank: Bank, *, in_all: int = 9, per_caller: int = 9) -> EventStreams:
    limits = StreamLimits(in_all, per_caller)
    return EventStreams(bank, bank, limits=limits)  # type: ignore[arg-type]


@asynccontextmanager
async def opened(
    bank: Bank, streams: EventStreams | None = None, selection: Selection = FAILURES
) -> AsyncIterator[httpx.Response]:
    """Open a stream behind position 7."""
    serving = streams or streams_of(bank)

    async def handle(request: web.Request) -> web.StreamResponse:
        request[CALLER_KEY], request[REQUEST_ID_KEY] = bank.caller, "r-1"
        try:
            return await serving.serve(request, Beginning(7, 12, selection))
        finally:
            bank.served += 1

    app = web.Application()
    app.router.add_get("/", handle)
    async with (
        TestServer(app) as server,
        httpx.AsyncClient(timeout=PATIENCE_SECONDS) as http,
        http.stream("GET", str(server.make_url("/"))) as response,
    ):
        yield response


async def whole(bank: Bank, streams: EventStreams | None = None) -> bytes:
    """All of a stream, to its end."""
    async with patience("the end of the stream", seconds=20), opened(bank, streams) as response:
        return b"".join([part async for part in response.aiter_raw()])


class TestFrames:
    async def test_a_stream_says_where_it_begins_and_then_what_is_new(self, bank: Bank) -> None:
        bank.steps = [[event(8), event(9)], Lagging(9, 30), [event(10)], Reached(29, 30), AWAY]
        first, second, third = (event_frame(one) for step in (0, 2) for one in bank.steps[step])  # type: ignore[union-attr]
        lagging = b'event: lagging\ndata: {"position": 9, "last_position": 30}\n\n'
        reached = b'id: 29\nevent: reached\ndata: {"position": 29, "last_position": 30}\n\n'
        assert await whole(bank) == OPENING + first + second + lagging + third + reached + RECONNECT
        assert bank.followed == [(7, FAILURES)]

    async def test_it_carries_the_id_of_its_request(self, bank: Bank) -> None:
        bank.steps = [AWAY]
        async with opened(bank) as response:
            assert response.headers["X-Request-Id"] == "r-1"
            assert response.headers["Content-Type"].startswith("text/event-stream")

    def test_an_event_is_one_line_of_data_behind_its_position_and_type(self) -> None:
        one = replace(event(8), data={"reference": "two\nlines"}, type=EventType.ACCOUNT_FUNDED)
        lines = event_frame(one).decode().split("\n")
        assert lines[:2] == ["id: 8", "event: AccountFundedPayload"]
        assert lines[3:] == ["", ""]
        shown = json.loads(lines[2].removeprefix("data: "))
        assert (shown["position"], shown["id"]) == (8, str(one.id))
        assert (shown["type"], shown["data"]) == ("AccountFundedPayload", {"reference": "two\nlines"})


class TestEnds:
    async def test_with_its_session(self, bank: Bank) -> None:
        bank.renewals = [bank.caller, UnauthenticatedError("session_ended", "ended")]
        assert await whole(bank) == OPENING + SESSION_ENDED
        assert (bank.asked, bank.ended) == (2, 1)

    async def test_when_the_role_no_longer_allows_it(self, bank: Bank) -> None:
        bank.renewals = [bank.caller, replace(bank.caller, role=Role.USER)]
        assert await whole(bank) == OPENING + SESSION_ENDED

    async def test_when_the_daemon_ends(self, bank: Bank) -> None:
        streams = streams_of(bank)
        async with patience("the end", seconds=20), opened(bank, streams) as response:
            parts = response.aiter_raw()
            assert await anext(parts) == OPENING
            streams.close()
            assert b"".join([part async for part in parts]) == RECONNECT

    async def test_when_sessions_cannot_be_told_for_long(self, bank: Bank) -> None:
        bank.renewals = [AWAY]
        assert await whole(bank) == OPENING + RECONNECT
        assert bank.asked == 5

    async def test_not_when_that_lasts_for_a_moment(self, bank: Bank) -> None:
        ended = UnauthenticatedError("session_ended", "ended")
        bank.renewals = [*[AWAY] * 4, bank.caller, *[AWAY] * 4, bank.caller, ended]
        assert await whole(bank) == OPENING + SESSION_ENDED
        assert bank.asked == 11

    async def test_when_the_client_leaves(self, bank: Bank) -> None:
        async with opened(bank) as response:
            assert await anext(response.aiter_raw()) == OPENING

        async def ended() -> bool:
            return bank.ended == 1

        await eventually(ended, every_seconds=0.01)

    async def test_with_the_reason_when_the_client_takes_nothing(self, bank: Bank) -> None:
        bank.steps = [TimeoutError()]
        told = (await whole(bank)).removeprefix(OPENING).decode()
        assert told.startswith("event: too_slow\ndata: ")
        assert json.loads(told.splitlines()[1].removeprefix("data: ")) == {
            "code": "too_slow",
            "detail": "Nothing was taken for 10 s; the stream goes on from the last event when asked again.",
        }

    async def test_without_a_word_when_the_line_is_cut(
        self, bank: Bank, caplog: pytest.LogCaptureFixture
    ) -> None:
        bank.steps = [ConnectionResetError()]
        with capture_logs() as logs, pytest.raises(httpx.TransportError):
            await whole(bank)
        faults = [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert (logs, faults) == ([], [])

    async def test_a_fault_cuts_the_line_and_is_logged(self, bank: Bank) -> None:
        bank.steps = [RuntimeError("broken")]
        with capture_logs() as logs, pytest.raises(httpx.TransportError):
            await whole(bank)
        (log,) = logs
        assert (log["event"], log["log_level"]) == ("stream ended by a fault", "error")
        assert isinstance(log["exc_info"], RuntimeError)

    async def test_a_client_that_does_not_read_is_cut_off(
        self, bank: Bank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_streams, "_SEND_TIMEOUT_SECONDS", 0.2)
        monkeypatch.setattr(event_streams, "_FAREWELL_TIMEOUT_SECONDS", 0.1)
        # By itself, not by the system, which not every one does.
        monkeypatch.setattr(
            event_streams,
            "EventSourceResponse",
            lambda **options: EventSourceResponse(**{**options, "send_timeout": 600}),
        )
        large = replace(event(8), data={"x": "x" * 2**20})
        bank.steps = [[large]] * 200
        async with opened(bank):

            async def ended() -> bool:
                return bank.ended == 1

            async with patience("the end of the stream", seconds=20):
                await eventually(ended, every_seconds=0.01)

    async def test_nor_is_it_waited_for_when_the_daemon_ends(
        self, bank: Bank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_streams, "_FAREWELL_TIMEOUT_SECONDS", 0.1)
        # Then the system cuts nobody off, nor does a write.
        monkeypatch.setattr(event_streams, "_SEND_TIMEOUT_SECONDS", 600)
        sent = asyncio.Event()
        bank.steps = [[replace(event(8), data={"x": "x" * 2**24})]] * 8
        streams = streams_of(bank)
        write = event_streams._write

        async def note(response: EventSourceResponse, frames: bytes) -> None:
            if len(frames) > 2**24:
                sent.set()
            await write(response, frames)

        monkeypatch.setattr(event_streams, "_write", note)
        async with opened(bank, streams):
            async with patience("the first event"):
                await sent.wait()
            streams.close()

            async def served() -> bool:
                return bank.served == 1

            async with patience("the end of the stream", seconds=20):
                await eventually(served, every_seconds=0.01)

    async def test_pings_find_a_client_that_is_gone(
        self, bank: Bank, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: list[dict[str, Any]] = []

        def make(**options: Any) -> EventSourceResponse:
            made.append(options)
            return EventSourceResponse(**options)

        monkeypatch.setattr(event_streams, "EventSourceResponse", make)
        bank.steps = [AWAY]
        await whole(bank)
        assert (made[0]["ping_interval"], made[0]["send_timeout"]) == (15, 40)


class TestLimits:
    def open_streams(self) -> float:
        return REGISTRY.get_sample_value("bankctl_notifier_open_streams") or 0.0

    def test_one_caller_holds_so_many(self, bank: Bank) -> None:
        streams, caller, before = streams_of(bank, per_caller=2), support(), self.open_streams()
        with streams.slot(caller):
            with streams.slot(replace(caller, session_id=new_id())):
                assert self.open_streams() == before + 2
                with pytest.raises(TooManyStreamsOfOneCallerError) as refused, streams.slot(caller):
                    pytest.fail("it has a third one")
                with streams.slot(support()):
                    pass
            with streams.slot(caller):
                pass
        assert (refused.value.code, refused.value.retry_after_seconds) == ("too_many_streams", 5)
        assert refused.value.message == (
            "One caller may hold 2 event streams open; end one, or try again later."
        )
        assert self.open_streams() == before
        assert dict(streams._open) == {}, "those who have left are forgotten"

    def test_an_api_key_is_a_caller_of_its_own(self, bank: Bank) -> None:
        streams, caller = streams_of(bank, per_caller=1), support()
        first = replace(caller, session_id=new_id(), key_digest="one")
        second = replace(caller, session_id=new_id(), key_digest="two")
        with streams.slot(caller), streams.slot(first), streams.slot(second):
            for one in (caller, first, second):
                with pytest.raises(TooManyStreamsOfOneCallerError), streams.slot(one):
                    pytest.fail("it has a second one")

    def test_a_process_serves_so_many(self, bank: Bank) -> None:
        streams = streams_of(bank, in_all=2)
        with (
            streams.slot(support()),
            streams.slot(support()),
            pytest.raises(TooManyStreamsError) as refused,
            streams.slot(support()),
        ):
            pytest.fail("there is a third one")
        with pytest.raises(RuntimeError), streams.slot(support()):
            raise RuntimeError
        with streams.slot(support()), streams.slot(support()):
            pass
        assert (refused.value.code, refused.value.retry_after_seconds) == ("overloaded", 5)
        assert refused.value.message == "Too many event streams are open; try again later."

    def test_none_is_begun_when_the_process_ends(self, bank: Bank) -> None:
        streams = streams_of(bank)
        streams.close()
        with pytest.raises(TooManyStreamsError), streams.slot(support()):
            pytest.fail("it was begun")
