"""Many viewers on one process: each gets everything, and one that does not read costs a bounded amount."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from daemons.contracts.names import LAST_EVENT_ID_HEADER
from daemons.notifier.streams import follower as following
from daemons.notifier.streams import streams as event_streams
from daemons.notifier.streams.follower import LIMIT_EVENTS, Subscription
from daemons.shared.mongo import Database
from tests.support.events import incoming
from tests.support.notifier import NO_BROKER, Notifier, PlayedUserApi, cookie, recorder_on, running_here
from tests.support.waiting import eventually, patience

VIEWERS = 500
AT_ONCE = 25
"""How many come at the same time."""
EVENTS = 100
STALLED = 20
_FRAME = re.compile(rb"id: (\d+)\nevent: (\w+)\n")


@dataclass
class Viewer:
    """A connection with a stream; nothing is read of it before it is asked to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def events_until(self, last: int) -> list[int]:
        """The positions of all events up to that one."""
        seen: list[int] = []
        while not seen or seen[-1] < last:
            seen += events_in(await self.reader.readuntil(b"\n\n"))
        return seen

    async def rest(self) -> bytes:
        """All that comes before the line ends."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""


def events_in(text: bytes) -> list[int]:
    return [int(position) for position, name in _FRAME.findall(text) if name != b"reached"]


@asynccontextmanager
async def viewer(
    notifier: Notifier, *, after: int = 0, receive_bytes: int | None = None
) -> AsyncIterator[Viewer]:
    address = urlsplit(notifier.url)
    connection = socket.socket()
    connection.setblocking(False)
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await asyncio.get_running_loop().sock_connect(connection, (address.hostname, address.port))
    # The library would take in what nobody has asked for: little of it, for a viewer that does not read.
    reader, writer = await asyncio.open_connection(sock=connection, limit=2**14)
    headers = {"Host": address.netloc, LAST_EVENT_ID_HEADER: str(after), **cookie(notifier.token)}
    lines = ["GET /events HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    try:
        async with patience("the stream's beginning"):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        yield Viewer(reader, writer)
    finally:
        writer.close()


@pytest.fixture
def subscriptions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Subscription]]:
    """Every stream's share of what was found; what waits in it is noted at its most."""
    made: list[Subscription] = []

    class Noted(Subscription):
        most = 0

        def __init__(self, *arguments: object, **options: int) -> None:
            super().__init__(*arguments, **options)  # type: ignore[arg-type]
            made.append(self)

        def offer(self, events: object) -> None:
            super().offer(events)  # type: ignore[arg-type]
            Noted.most = max(Noted.most, sum(map(len, self._waiting)))

    monkeypatch.setattr(following, "Subscription", Noted)
    yield made
    assert Noted.most <= LIMIT_EVENTS


async def test_five_hundred_viewers_of_one_process_get_every_event(
    mongo_uri: str,
    notifier_database: Database,
    users: tuple[PlayedUserApi, str],
    subscriptions: list[Subscription],
) -> None:
    recorder = recorder_on(notifier_database)
    limits = {"maximum_streams": VIEWERS, "maximum_streams_per_caller": VIEWERS}
    async with running_here(mongo_uri, notifier_database.name, users, broker=NO_BROKER, **limits) as notifier:
        contexts = [viewer(notifier) for _ in range(VIEWERS)]
        viewers: list[Viewer] = []
        for first in range(0, VIEWERS, AT_ONCE):
            some = contexts[first : first + AT_ONCE]
            viewers += await asyncio.gather(*(context.__aenter__() for context in some))
        try:

            async def all_open() -> bool:
                return len(subscriptions) == VIEWERS

            await eventually(all_open)
            await recorder.record_events(incoming(EVENTS))
            async with patience("the events"):
                seen = await asyncio.gather(*(one.events_until(EVENTS) for one in viewers))
            assert seen == [list(range(1, EVENTS + 1))] * VIEWERS
            refused = await notifier.get("/events")
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        finally:
            for context in contexts:
                await context.__aexit__(None, None, None)


async def test_a_viewer_that_takes_nothing_is_cut_with_the_reason_and_resumes(
    mongo_uri: str,
    notifier_database: Database,
    users: tuple[PlayedUserApi, str],
    subscriptions: list[Subscription],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_streams, "_SEND_TIMEOUT_SECONDS", 0.5)
    monkeypatch.setattr(event_streams, "_FAREWELL_TIMEOUT_SECONDS", 0.1)
    recorder = recorder_on(notifier_database)
    async with running_here(
        mongo_uri, notifier_database.name, users, broker=NO_BROKER, maximum_streams_per_caller=STALLED
    ) as notifier:
        contexts = [viewer(notifier, receive_bytes=4096) for _ in range(STALLED)]
        viewers = [await context.__aenter__() for context in contexts]
        try:

            async def all_open() -> bool:
                return len(subscriptions) == STALLED

            await eventually(all_open)
            count = 1500
            for first in range(0, count, 500):
                await recorder.record_events(incoming(500, first_offset=first))

            async def all_cut() -> bool:
                # A new stream finds room only when those that take nothing are gone.
                return (await notifier.http.get(f"{notifier.url}/metrics")).text.count(
                    "bankctl_notifier_open_streams 0.0"
                ) == 1

            await eventually(all_cut)
            for one in viewers:
                async with patience("what was sent before the cut"):
                    told = await one.rest()
                seen = events_in(told)
                assert seen == list(range(1, len(seen) + 1))
                assert len(seen) < count
                [reason] = re.findall(rb"event: too_slow\ndata: (.*)\n", told)
                assert json.loads(reason)["code"] == "too_slow"
            async with viewer(notifier, after=len(seen)) as again, patience("the rest"):
                assert await again.events_until(count) == list(range(len(seen) + 1, count + 1))
        finally:
            for context in contexts:
                await context.__aexit__(None, None, None)
