"""Following the log: one query for all streams of a process finds new events of every process."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog

from daemons.contracts.errors import TransientError
from daemons.notifier.event import RecordedEvent, Selection
from daemons.notifier.event_log.reader import MongoEventReader
from daemons.shared.tasks import end_task, is_set_within

POLL_SECONDS = 0.25
"""How late an event that another process recorded may reach a stream of this one."""
LIMIT_EVENTS = 2_000
"""How many events wait for one reader before it is said to lag; they are shared, not copied."""
QUIET_SECONDS = 15.0
"""After how long without a selected event a reader is told how far the log has gone on without it."""
_EVENTS_AT_ONCE = 500
_OLD_EVENTS_AT_ONCE = 100
"""Of old events each stream has a page of its own in memory."""
_BACKOFF_SECONDS = 1.0
_EVERYTHING = Selection()
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reached:
    """Said between events: the reader has seen everything selected up to this position."""

    position: int
    last_position: int


@dataclass(frozen=True, slots=True)
class Lagging:
    """Said between events: the reader could not keep up and reads at its own pace; nothing is skipped."""

    position: int
    last_position: int


class Subscription:
    """The selected events after position `begins_after`, as long as the reader keeps up."""

    def __init__(self, selection: Selection, *, begins_after: int) -> None:
        self.begins_after = begins_after
        self.lags = False
        self._selection = selection
        self._waiting: deque[Sequence[RecordedEvent]] = deque()
        self._waiting_events = 0
        self._news = asyncio.Event()

    def offer(self, events: Sequence[RecordedEvent]) -> None:
        """Add what the follower found; beyond the limit all of it is dropped and the reader notified."""
        if not self._selection.takes_all:
            events = [event for event in events if self._selection.matches(event)]
        if not events or self.lags:
            return
        self._waiting.append(events)
        self._waiting_events += len(events)
        if self._waiting_events > LIMIT_EVENTS:
            self.lags = True
            self._waiting.clear()
        self._news.set()

    @property
    def is_empty(self) -> bool:
        """Whether the reader has taken all that was found."""
        return not self._waiting and not self.lags

    async def next(self) -> Sequence[RecordedEvent]:
        """Wait for events and return some, in order; none if the reader lags or nothing came for a while."""
        if not self._waiting and not self.lags:
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(QUIET_SECONDS):
                    await self._news.wait()
        if self.lags or not self._waiting:
            return ()
        events = self._waiting.popleft()
        self._waiting_events -= len(events)
        return events


class EventFollower:
    """Finds new events in the order of their positions and hands them to the streams of this process."""

    def __init__(self, reader: MongoEventReader) -> None:
        self._reader = reader
        self._subscriptions: set[Subscription] = set()
        self._last_found = 0
        self._wake = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look for new events in a task that this follower holds."""
        self._running = asyncio.create_task(self._run(), name="event-follower")

    def wake(self) -> None:
        """Tell the follower that this process has recorded something."""
        self._wake.set()

    async def close(self) -> None:
        """Stop looking."""
        if self._running is not None:
            await end_task(self._running)

    async def follow(
        self, position: int, selection: Selection
    ) -> AsyncGenerator[Sequence[RecordedEvent] | Reached | Lagging]:
        """Yield the selected events after a position, in order, without gap or repetition, without end.

        In between it says how far the reader has come: when it has caught up, and while nothing is selected.

        Raises:
            TransientError: the database does not answer; begin again after the last event received.
        """
        reached = position
        while True:
            await self._skip_to_the_end_while_idle()
            # What is old is read by the stream itself, at its own pace, before it takes its share of the new.
            async for events in self._pages(reached, selection, up_to=self._last_found):
                reached = events[-1].position
                yield events
            # That may have taken long, and while nobody follows nobody looks.
            await self._skip_to_the_end_while_idle()
            with self._subscribed(selection) as subscription:
                async for events in self._pages(reached, selection, up_to=subscription.begins_after):
                    yield events
                reached = max(reached, subscription.begins_after)
                yield Reached(reached, self._last_found)
                while not subscription.lags:
                    # A stream may begin after events that this process has yet to find.
                    events = [event for event in await subscription.next() if event.position > reached]
                    if events:
                        reached = events[-1].position
                        yield events
                    elif subscription.is_empty:
                        # What was found was offered at once, so nothing selected is on its way.
                        reached = max(reached, self._last_found)
                        yield Reached(reached, reached)
            yield Lagging(reached, self._last_found)

    async def _pages(
        self, position: int, selection: Selection, *, up_to: int
    ) -> AsyncIterator[Sequence[RecordedEvent]]:
        while position < up_to:
            events = await self._reader.events_after(
                position, selection=selection, limit=_OLD_EVENTS_AT_ONCE, up_to=up_to
            )
            is_last = len(events) < _OLD_EVENTS_AT_ONCE
            if events:
                position = events[-1].position
                yield events
            if is_last:
                return

    @contextmanager
    def _subscribed(self, selection: Selection) -> Iterator[Subscription]:
        subscription = Subscription(selection, begins_after=self._last_found)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                more = await self._look()
            except TransientError as error:
                _log.warning("streams get no news for now", reason=error.message)
                await asyncio.sleep(_BACKOFF_SECONDS)
                continue
            if not more:
                await is_set_within(self._wake, POLL_SECONDS)

    async def _look(self) -> bool:
        """Hand out the next events; True when there may be more at once."""
        if not self._subscriptions:
            # Who follows next skips to the end first.
            return False
        events = await self._reader.events_after(
            self._last_found, selection=_EVERYTHING, limit=_EVENTS_AT_ONCE
        )
        if events:
            self._last_found = events[-1].position
            for subscription in self._subscriptions:
                subscription.offer(events)
        return len(events) == _EVENTS_AT_ONCE

    async def _skip_to_the_end_while_idle(self) -> None:
        """Read nothing that no stream of this process waits for."""
        last = await self._reader.last_position()
        # Who subscribed meanwhile counts on everything after the position known then.
        if not self._subscriptions:
            self._last_found = max(self._last_found, last)
