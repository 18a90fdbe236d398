"""One reader's bounded share of what the follower finds."""

import asyncio
from collections import deque
from collections.abc import Sequence

from daemons.notifier.event import RecordedEvent
from daemons.notifier.event_log.selection import Selection

LIMIT_EVENTS = 2_000
"""How many events wait for one reader before it is said to lag; they are shared, not copied."""


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

    async def next(self) -> Sequence[RecordedEvent]:
        """Wait for events and return some, in order; nothing once the reader lags."""
        while not self._waiting and not self.lags:
            self._news.clear()
            await self._news.wait()
        if self.lags:
            return ()
        events = self._waiting.popleft()
        self._waiting_events -= len(events)
        return events
