"""How events come in and what waits to go out, at a glance: what `bankctl events top` shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from daemons.contracts.names import DeliveryState, EventType
from daemons.notifier.deliveries.delivery import Backlog, Delivery
from daemons.notifier.deliveries.storage import MongoDeliveries
from daemons.notifier.event import RecordedEvent, Selection
from daemons.notifier.event_log.reader import MongoEventReader
from daemons.shared.clock import Clock, utc_now

Waiting = Mapping[str, int]
"""How many records of each topic are not consumed."""

COUNTED_EVENTS = 20_000
COUNTED_FAILURES = 1_000
COUNTED_DELIVERIES = 5_000
_LAST_SHOWN = 5
_FAILURES = Selection(types=frozenset({EventType.TRANSACTION_FAILED}))


@dataclass(frozen=True, slots=True)
class Summary:
    """The last `window` and the present.

    `total` is how many events were recorded in the window, for positions have no gaps; `counts` are at
    most COUNTED_EVENTS of a type, `reasons` those of the newest COUNTED_FAILURES, `backlogs` those of the
    oldest COUNTED_DELIVERIES. `waiting` is None if Kafka has not said.
    """

    at: datetime
    window: timedelta
    newest: RecordedEvent | None
    total: int
    counts: Mapping[EventType, int]
    reasons: Mapping[str, int]
    waiting: Waiting | None
    backlogs: Sequence[Backlog]
    last_failures: Sequence[RecordedEvent]
    last_undelivered: Sequence[Delivery]


class EventsSummary:
    """Reads by indexes, and never more than the bounds above, however much there is."""

    def __init__(
        self,
        reader: MongoEventReader,
        deliveries: MongoDeliveries,
        waiting: Callable[[], Waiting | None],
        *,
        clock: Clock = utc_now,
    ) -> None:
        self._reader = reader
        self._deliveries = deliveries
        self._waiting = waiting
        self._clock = clock

    async def read(self, window: timedelta) -> Summary:
        """Return how things stand.

        Raises:
            TransientError: the database does not answer.
        """
        now = self._clock()
        newest = await self._reader.events_before(None, selection=Selection(), limit=1)
        begin = await self._reader.position_recorded_before(now - window)
        last = newest[0] if newest else None
        return Summary(
            at=now,
            window=window,
            newest=last,
            total=0 if last is None else max(0, last.position - begin),
            counts=await self._reader.count_by_type(begin, limit=COUNTED_EVENTS),
            reasons=await self._reader.count_reasons(begin, limit=COUNTED_FAILURES),
            waiting=self._waiting(),
            backlogs=await self._deliveries.backlogs(limit=COUNTED_DELIVERIES),
            last_failures=await self._reader.events_before(None, selection=_FAILURES, limit=_LAST_SHOWN),
            last_undelivered=await self._last_undelivered(),
        )

    async def _last_undelivered(self) -> list[Delivery]:
        found: list[Delivery] = []
        for state in (DeliveryState.FAILED, DeliveryState.GIVEN_UP):
            found += await self._deliveries.page(
                state=state, channel=None, recipient=None, before=None, limit=_LAST_SHOWN
            )
        return sorted(found, key=lambda one: one.turn, reverse=True)[:_LAST_SHOWN]
