"""Following the log inside one process: what is handed to whom, in which order, and from where on."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemons.contracts.errors import TransientError
from daemons.contracts.names import EventType, Severity
from daemons.notifier.event import RecordedEvent, Selection
from daemons.notifier.streams import follower as follow_events
from daemons.notifier.streams.follower import EventFollower, Lagging, Reached, Subscription
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from tests.support.waiting import eventually, patience

ALL = Selection()
FAILURES = Selection(types=frozenset({EventType.TRANSACTION_FAILED}))


def event(position: int, *, failed: bool = False, accounts: Sequence[str] = ("0000000017",)) -> RecordedEvent:
    return RecordedEvent(
        position=position,
        id=new_id(),
        type=EventType.TRANSACTION_FAILED if failed else EventType.TRANSACTION_COMPLETED,
        source="/banking_api",
        key="k",
        time=utc_now(),
        data={},
        severity=Severity.INFO,
        account_ids=accounts,
        user_ids=(),
        amount=None,
        partition=0,
        offset=position,
        received_at=utc_now(),
    )


class Log:
    """The log of events as its reader sees it; every third event is of a failed transaction."""

    def __init__(self, count: int = 0) -> None:
        self.events: list[RecordedEvent] = []
        self.read: list[tuple[int, int | None]] = []
        """From where on, and up to where, it was read."""
        self.faults = 0
        self.growths = 0
        """How often something is recorded just before the log is asked."""
        self.grow(count)

    def grow(self, count: int) -> None:
        start = len(self.events) + 1
        self.events += [event(number, failed=number % 3 == 0) for number in range(start, start + count)]

    def _grow_while_asked(self) -> None:
        if self.growths:
            self.growths -= 1
            self.grow(1)

    async def last_position(self) -> int:
        self._grow_while_asked()
        return len(self.events)

    async def events_after(
        self, position: int, *, selection: Selection, limit: int, up_to: int | None = None
    ) -> list[RecordedEvent]:
        self.read.append((position, up_to))
        await asyncio.sleep(0)
        if self.faults:
            self.faults -= 1
            raise TransientError("unavailable", "away")
        self._grow_while_asked()
        last = len(self.events) if up_to is None else up_to
        return [one for one in self.events[position:last] if selection.matches(one)][:limit]


class Reader:
    """One who follows; what it was told, and when it lagged."""

    def __init__(self, follower: EventFollower, position: int, selection: Selection) -> None:
        self._news = follower.follow(position, selection)
        self.lagged: list[Lagging] = []
        self.reached: list[Reached] = []

    async def take(self, count: int) -> list[int]:
        seen: list[int] = []
        async with patience(f"{count} events", seconds=20, found=lambda: seen):
            while len(seen) < count:
                told = await anext(self._news)
                if isinstance(told, Lagging):
                    self.lagged.append(told)
                elif isinstance(told, Reached):
                    self.reached.append(told)
                else:
                    seen += [one.position for one in told]
        return seen

    async def close(self) -> None:
        await self._news.aclose()


@asynccontextmanager
async def following(log: Log) -> AsyncIterator[EventFollower]:
    follower = EventFollower(log)  # type: ignore[arg-type]
    follower.start()
    try:
        yield follower
    finally:
        await follower.close()


@asynccontextmanager
async def reading(
    follower: EventFollower, position: int, selection: Selection = ALL
) -> AsyncIterator[Reader]:
    reader = Reader(follower, position, selection)
    try:
        yield reader
    finally:
        await reader.close()


class TestFollowing:
    @pytest.mark.parametrize("after", [0, 1, 499, 500, 501, 1199, 1200])
    async def test_what_came_after_the_position_comes_in_order_and_then_what_is_new(self, after: int) -> None:
        log = Log(1200)
        async with following(log) as follower, reading(follower, after) as reader:
            assert await reader.take(1200 - after) == list(range(after + 1, 1201))
            waiting = asyncio.create_task(reader.take(3))
            await asyncio.sleep(0.01)
            log.grow(3)
            follower.wake()
            assert await waiting == [1201, 1202, 1203]

    async def test_only_what_was_asked_for_comes(self) -> None:
        log = Log(1600)
        async with following(log) as follower, reading(follower, 3, FAILURES) as reader:
            assert await reader.take(532) == list(range(6, 1600, 3))
            waiting = asyncio.create_task(reader.take(2))
            await asyncio.sleep(0.01)
            log.grow(6)
            follower.wake()
            assert await waiting == [1602, 1605]

    async def test_what_arrives_while_the_old_is_read_comes_once(self) -> None:
        log = Log(1200)
        async with following(log) as follower, reading(follower, 0) as reader:
            log.growths = 10
            assert await reader.take(1210) == list(range(1, 1211))

    async def test_a_position_that_was_not_reached_yet_is_waited_for(self) -> None:
        """The events up to it were recorded by another process and are found here later."""
        log = Log(5)
        async with following(log) as follower, reading(follower, 8) as reader:
            waiting = asyncio.create_task(reader.take(1))
            for _ in range(5):
                await asyncio.sleep(0.01)
                log.grow(1)
                follower.wake()
            assert await waiting == [9]
            assert await reader.take(1) == [10]

    async def test_what_another_process_records_is_found_without_a_word(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(follow_events, "POLL_SECONDS", 0.01)
        log = Log(2)
        async with following(log) as follower, reading(follower, 2) as reader:
            waiting = asyncio.create_task(reader.take(2))
            await asyncio.sleep(0.03)
            log.grow(2)
            assert await waiting == [3, 4]

    async def test_nothing_is_read_while_nobody_follows(self) -> None:
        log = Log(3000)
        async with following(log) as follower:
            for _ in range(3):
                follower.wake()
                await asyncio.sleep(0.01)
            assert log.read == []
            async with reading(follower, 3000) as reader:
                waiting = asyncio.create_task(reader.take(1))
                await asyncio.sleep(0.01)
                log.grow(1)
                follower.wake()
                assert await waiting == [3001]
            # Whoever comes first begins at the end: what is old is read by no one.
            assert min(position for position, _ in log.read) == 3000
            log.read.clear()
            log.grow(2000)
            follower.wake()
            await asyncio.sleep(0.02)
            assert log.read == []

    async def test_one_query_serves_all_readers(self) -> None:
        log = Log(10)
        async with (
            following(log) as follower,
            reading(follower, 10) as one,
            reading(follower, 10) as other,
            reading(follower, 10, FAILURES) as third,
        ):
            waiting = [
                asyncio.create_task(reader.take(count))
                for reader, count in ((one, 4), (other, 4), (third, 1))
            ]
            await asyncio.sleep(0.02)
            log.read.clear()
            log.grow(4)
            follower.wake()
            assert await asyncio.gather(*waiting) == [[11, 12, 13, 14]] * 2 + [[12]]
            assert log.read[0] == (10, None)
            assert [position for position, _ in log.read].count(10) == 1

    async def test_much_at_once_is_found_without_a_pause(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(follow_events, "POLL_SECONDS", 3600)
        log = Log(1)
        async with following(log) as follower, reading(follower, 1) as reader:
            waiting = asyncio.create_task(reader.take(1501))
            await asyncio.sleep(0.01)
            log.grow(1501)
            follower.wake()
            assert await waiting == list(range(2, 1503))

    async def test_a_database_that_is_away_costs_no_event(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(follow_events, "_BACKOFF_SECONDS", 0.01)
        log = Log(1)
        async with following(log) as follower, reading(follower, 1) as reader:
            waiting = asyncio.create_task(reader.take(3))
            await asyncio.sleep(0.01)
            log.faults = 2
            log.grow(3)
            with capture_logs() as logs:
                follower.wake()
                assert await waiting == [2, 3, 4]
        told = {"event": "streams get no news for now", "log_level": "warning", "reason": "away"}
        assert (log.faults, logs) == (0, [told] * 2)

    async def test_a_reader_that_meets_such_a_fault_itself_is_told(self) -> None:
        log = Log(5)
        log.faults = 1
        async with following(log) as follower:
            with pytest.raises(TransientError):
                await anext(follower.follow(0, ALL))

    async def test_a_reader_that_lags_is_told_and_misses_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(follow_events, "LIMIT_EVENTS", 100)
        log = Log(2)
        async with following(log) as follower, reading(follower, 1) as reader:
            assert await reader.take(1) == [2]
            waiting = asyncio.create_task(reader.take(1))
            await asyncio.sleep(0.01)
            log.grow(1)
            follower.wake()
            assert await waiting == [3]
            # It does not read while more comes than may wait for it.
            log.grow(150)
            follower.wake()

            async def found() -> bool:
                return follower._last_found == 153

            await eventually(found, every_seconds=0.01)
            assert await reader.take(150) == list(range(4, 154))
            assert reader.lagged == [Lagging(3, 153)]
            waiting = asyncio.create_task(reader.take(1))
            await asyncio.sleep(0.01)
            log.grow(1)
            follower.wake()
            assert await waiting == [154]

    async def test_a_reader_that_has_left_is_forgotten(self) -> None:
        log = Log(1)
        async with following(log) as follower:
            async with reading(follower, 1) as reader:
                waiting = asyncio.create_task(reader.take(1))
                await asyncio.sleep(0.01)
                assert len(follower._subscriptions) == 1
                log.grow(1)
                follower.wake()
                await waiting
            assert follower._subscriptions == set()

    async def test_the_task_is_held_and_ended(self) -> None:
        follower = EventFollower(Log())  # type: ignore[arg-type]
        await follower.close()
        before = asyncio.all_tasks()
        follower.start()
        (task,) = asyncio.all_tasks() - before
        assert task.get_name() == "event-follower"
        await follower.close()
        assert task.cancelled()


class TestSubscriptions:
    async def test_events_come_in_the_order_in_which_they_were_offered(self) -> None:
        share = Subscription(ALL, begins_after=7)
        assert (share.begins_after, share.lags) == (7, False)
        one, two = [event(8), event(9)], [event(10)]
        share.offer(one)
        share.offer(two)
        assert await share.next() == one
        assert await share.next() == two
        waiting = asyncio.create_task(share.next())
        await asyncio.sleep(0)
        assert not waiting.done()
        share.offer(one)
        assert await asyncio.wait_for(waiting, 20) == one

    async def test_what_was_not_asked_for_wakes_nobody(self) -> None:
        share = Subscription(FAILURES, begins_after=0)
        waiting = asyncio.create_task(share.next())
        share.offer([event(1), event(2)])
        share.offer([])
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        mixed = [event(3), event(4, failed=True)]
        share.offer(mixed)
        assert await asyncio.wait_for(waiting, 20) == mixed[1:]

    async def test_only_so_many_events_wait(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(follow_events, "LIMIT_EVENTS", 4)
        share = Subscription(ALL, begins_after=0)
        share.offer([event(1), event(2), event(3)])
        share.offer([event(4)])
        assert not share.lags
        assert len(await share.next()) == 3
        # What was taken makes room.
        share.offer([event(5), event(6), event(7)])
        assert not share.lags
        share.offer([event(8)])
        assert share.lags
        assert await share.next() == ()
        share.offer([event(9)])
        assert (share.lags, await share.next()) == (True, ())
        assert len(share._waiting) == 0, "nothing is kept for a reader that reads for itself"

    async def test_a_reader_that_waits_learns_that_it_lags(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(follow_events, "LIMIT_EVENTS", 1)
        share = Subscription(ALL, begins_after=0)
        waiting = asyncio.create_task(share.next())
        await asyncio.sleep(0)
        share.offer([event(1), event(2)])
        assert await asyncio.wait_for(waiting, 20) == ()


@pytest.mark.parametrize(
    ("selection", "takes_all", "matches"),
    [
        (ALL, True, [True, True, True]),
        (FAILURES, False, [False, True, True]),
        (Selection(account_id="0000000024"), False, [False, False, True]),
        (Selection(FAILURES.types, "0000000017"), False, [False, True, False]),
        (Selection(frozenset({EventType.ACCOUNT_FUNDED}), "0000000017"), False, [False, False, False]),
    ],
)
def test_a_selection_is_of_types_and_of_an_account(
    selection: Selection, *, takes_all: bool, matches: list[bool]
) -> None:
    events: list[Any] = [
        event(1),
        event(2, failed=True),
        event(3, failed=True, accounts=("0000000031", "0000000024")),
    ]
    assert selection.takes_all is takes_all
    assert [selection.matches(one) for one in events] == matches
