"""Following events over HTTP: nothing is skipped, nothing comes twice, and a stream ends with its session."""

import asyncio
import json
import socket

import httpx
import pytest

from daemons.contracts.names import REACHED
from daemons.contracts.permissions import Role
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.notifier.streams import streams as event_streams
from daemons.notifier.streams.follower import LIMIT_EVENTS
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database
from tests.support.events import BOS_ACCOUNT, changed, completed, consumed, failed, incoming, publishable
from tests.support.notifier import (
    NO_BROKER,
    Notifier,
    PlayedUserApi,
    next_event,
    running_here,
    take,
)
from tests.support.waiting import PATIENCE_SECONDS, eventually, patience


async def _record_batches(recorder: EventRecorder, count: int, *, batch: int) -> None:
    for first in range(0, count, batch):
        await recorder.record_events(incoming(batch, first_offset=first))


async def test_a_stream_begins_with_what_is_new(notifier: Notifier, recorder: EventRecorder) -> None:
    await recorder.record_events(incoming(3))
    async with notifier.stream() as events:
        record = incoming(1)[0]
        await recorder.record_events([record])
        event = await asyncio.wait_for(next_event(events), PATIENCE_SECONDS)
        shown = json.loads(event.data)
    assert (event.id, event.event) == ("4", "TransactionCompleted")
    assert (shown["position"], shown["id"]) == (4, record.headers["ce_id"].decode())
    assert shown["data"] == json.loads(record.value or b"")
    assert shown["key"] == (record.key or b"").decode()


async def test_a_stream_resumes_without_gap_or_repetition_while_events_arrive(
    notifier: Notifier, recorder: EventRecorder
) -> None:
    recording = asyncio.create_task(_record_batches(recorder, 600, batch=30))
    seen: list[int] = []
    after: int | None = None
    while len(seen) < 600:
        # The first stream begins at 0 by its query, the others where the one before was cut.
        beginning = {"after": 0} if after is None else {"last_event_id": after}
        async with notifier.stream(**beginning) as events:
            seen += await take(events, min(41, 600 - len(seen)))
        after = seen[-1]
    await recording
    assert seen == list(range(1, 601))


async def test_the_header_goes_before_the_query(notifier: Notifier, recorder: EventRecorder) -> None:
    await recorder.record_events(incoming(5))
    async with notifier.stream(last_event_id=3, after=0) as events:
        assert await take(events, 2) == [4, 5]


async def test_streams_of_one_process_share_what_is_found(
    notifier: Notifier, recorder: EventRecorder
) -> None:
    async with notifier.stream() as one, notifier.stream() as other:
        recording = asyncio.create_task(_record_batches(recorder, 200, batch=20))
        assert await asyncio.gather(take(one, 200), take(other, 200)) == [list(range(1, 201))] * 2
        await recording


async def test_a_stream_shows_only_what_was_asked_for(notifier: Notifier, recorder: EventRecorder) -> None:
    async def record() -> None:
        for make in (completed, failed, lambda _: changed("opened")):
            event_id = new_id()
            await recorder.record_events([consumed(publishable(event_id, make(event_id)))])

    await record()
    async with (
        notifier.stream(after=0, type="TransactionFailed,AccountChanged") as by_type,
        notifier.stream(after=0, account=BOS_ACCOUNT) as by_account,
        notifier.stream(after=0, account=BOS_ACCOUNT, type="TransactionFailed") as by_both,
    ):
        assert await take(by_type, 2) == [2, 3]
        assert await take(by_account, 2) == [1, 2]
        assert await take(by_both, 1) == [2]
        await record()
        assert await take(by_type, 2) == [5, 6]
        assert await take(by_account, 2) == [4, 5]
        assert await take(by_both, 1) == [5]


async def test_a_stream_that_cannot_keep_up_is_told_and_misses_nothing(
    notifier: Notifier, recorder: EventRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 6 * LIMIT_EVENTS
    # On a busy machine recording takes longer than a client may go without reading.
    monkeypatch.setattr(event_streams, "_SEND_TIMEOUT_SECONDS", PATIENCE_SECONDS)
    # Systems differ in how much they take in for a client that does not read.
    small = httpx.AsyncHTTPTransport(socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)])
    async with httpx.AsyncClient(transport=small, timeout=PATIENCE_SECONDS) as http:
        slow = Notifier(notifier.url, http, notifier.users)
        seen, lagging = await _read_late(slow, recorder, count)
    assert seen == list(range(1, count + 1))
    assert lagging


async def _read_late(notifier: Notifier, recorder: EventRecorder, count: int) -> tuple[list[int], int]:
    """Return the positions that a reader saw who began when all was recorded, and how often it was told."""
    lagging = 0
    seen: list[int] = []
    async with notifier.stream() as events:
        # Nobody reads meanwhile: what the sockets do not hold has to wait in the daemon, up to its limit.
        await _record_batches(recorder, count, batch=500)
        async with patience("the stream"):
            while len(seen) < count:
                event = await next_event(events)
                if event.event == "lagging":
                    lagging += 1
                elif event.data:  # a ping has none; this client gives it the id of the event before
                    seen.append(int(event.id))
    return seen, lagging


async def test_a_stream_ends_with_its_session(notifier: Notifier) -> None:
    async with notifier.stream() as events:
        notifier.users.end(notifier.session_id)
        async with patience("the stream"):
            ended = [event.event async for event in events if event.event != REACHED]
    assert ended == ["session_ended"]
    answer = await notifier.get("/events/history")
    assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")


async def test_a_stream_ends_when_the_role_no_longer_allows_it(notifier: Notifier) -> None:
    async with notifier.stream() as events:
        notifier.users.change_role(notifier.session_id, Role.USER)
        async with patience("the stream"):
            ended = [event.event async for event in events if event.event != REACHED]
    assert ended == ["session_ended"]


async def test_there_are_only_so_many_streams(
    mongo_uri: str, notifier_database: Database, users: tuple[PlayedUserApi, str]
) -> None:
    running = running_here(mongo_uri, notifier_database.name, users, broker=NO_BROKER, maximum_streams=2)
    async with running as notifier:
        async with notifier.stream(), notifier.stream():
            refused = await notifier.get("/events")
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert "Retry-After" in refused.headers

        async def admitted() -> bool:
            try:
                async with notifier.stream():
                    return True
            except httpx.HTTPStatusError:
                return False

        await eventually(admitted)


async def test_one_caller_holds_only_so_many_streams_open_and_another_is_not_kept_out(
    mongo_uri: str, notifier_database: Database, users: tuple[PlayedUserApi, str]
) -> None:
    limits = {"maximum_streams": 4, "maximum_streams_per_caller": 2}
    async with running_here(mongo_uri, notifier_database.name, users, broker=NO_BROKER, **limits) as notifier:
        other = notifier.as_role(Role.SUPPORT)
        async with notifier.stream(), notifier.stream():
            refused = await notifier.get("/events")
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
            assert int(refused.headers["Retry-After"]) >= 1
            async with other.stream(), other.stream():
                assert (await other.get("/events")).status_code == 429

        async def admitted() -> bool:
            return (await _opened(notifier)) == 200

        await eventually(admitted)


async def _opened(notifier: Notifier) -> int:
    try:
        async with notifier.stream():
            return 200
    except httpx.HTTPStatusError as error:
        return error.response.status_code


async def test_a_stream_carries_the_request_id(notifier: Notifier) -> None:
    headers = {"Cookie": f"__Host-bankctl={notifier.token}", "X-Request-Id": "mine"}
    async with notifier.http.stream("GET", f"{notifier.url}/events", headers=headers) as response:
        assert response.headers["X-Request-Id"] == "mine"
        assert response.headers["Content-Type"].startswith("text/event-stream")
