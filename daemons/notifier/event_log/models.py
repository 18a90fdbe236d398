"""What the routes of events take and answer."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from daemons.contracts.names import EventOrder, EventType
from daemons.contracts.vocabulary import IDS_LIMIT, fault_of_amount
from daemons.contracts.wire import AmountText, Instant, UuidText, WireModel
from daemons.notifier.deliveries.models import DeliveryView, view_delivery
from daemons.notifier.event import RecordedEvent, Selection
from daemons.notifier.event_log.summary import COUNTED_EVENTS, Summary
from daemons.notifier.notifications.models import SeverityText
from daemons.shared.http.event_sets import EventSetQuery, EventSetView, MismatchView
from daemons.shared.http.lines import ProgressView
from daemons.shared.http.pages import FROM_DIGITS, LARGEST_NUMBER, PageQuery

_FAILURE = EventType.TRANSACTION_FAILED
_TYPE_NAMES = [event_type.value for event_type in EventType]


def _known_types(text: str) -> str:
    unknown = sorted(set(text.split(",")) - set(_TYPE_NAMES))
    if unknown:
        raise ValueError(f"{unknown[0]!r} is not a type of event; there are {', '.join(_TYPE_NAMES)}")
    return text


TypeNames = Annotated[
    str,
    Field(
        max_length=200,
        json_schema_extra={"pattern": f"^({'|'.join(_TYPE_NAMES)})(,({'|'.join(_TYPE_NAMES)}))*$"},
    ),
    AfterValidator(_known_types),
]
"""Types of events, separated by commas."""


def _known_type(text: str) -> str:
    if text not in _TYPE_NAMES:
        raise ValueError(f"is not a type of event; there are {', '.join(_TYPE_NAMES)}")
    return text


TypeName = Annotated[
    str, Field(max_length=50, json_schema_extra={"enum": _TYPE_NAMES}), AfterValidator(_known_type)
]
"""One type of event, by its name, which is its topic's."""

AccountNumber = Annotated[str, StringConstraints(pattern=r"^[0-9]{10}$")]
Position = Annotated[int, Field(ge=0, le=LARGEST_NUMBER), FROM_DIGITS]


class EventIds(WireModel):
    """Ids of events that are to be looked for."""

    ids: Annotated[list[UuidText], Field(min_length=1, max_length=IDS_LIMIT)]


def _positive(text: str) -> str:
    if fault := fault_of_amount(text):
        raise ValueError(fault)
    return text


def _in_some_zone(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("has no time zone; end it with Z for UTC")
    return instant


class SelectionQuery(WireModel):
    """Which events: `?type=A,B`, of an account or a user, from an amount up, from a time or an event on.

    `failures` are refused transactions. `min_amount` is in units of the event's own currency.
    """

    type: TypeNames | None = None
    account: AccountNumber | None = None
    user: UuidText | None = None
    min_amount: Annotated[AmountText, AfterValidator(_positive)] | None = None
    failures: Annotated[bool, Field(strict=False)] = False
    since: Annotated[Instant, AfterValidator(_in_some_zone)] | None = None
    first: Annotated[UuidText | None, Field(alias="from")] = None
    """The event with which the answer begins."""

    @model_validator(mode="after")
    def _failures_among_types(self) -> Self:
        if self.failures and self.type and _FAILURE.value not in self.type.split(","):
            raise ValueError(f"failures are events of the type {_FAILURE.value}, which `type` leaves out")
        return self

    @property
    def selection(self) -> Selection:
        """The events asked for."""
        names = [_FAILURE.value] if self.failures else self.type.split(",") if self.type else []
        return Selection(
            types=frozenset(EventType(name) for name in names),
            account_id=self.account,
            user_id=self.user,
            minimum=None if self.min_amount is None else Decimal(self.min_amount),
            since=self.since,
        )

    @property
    def first_id(self) -> UUID | None:
        """The event with which the answer begins."""
        return None if self.first is None else UUID(self.first)


class StreamQuery(SelectionQuery):
    """`?after=`: stream from behind this position; the header Last-Event-ID says the same and goes first."""

    after: Position | None = None


class HistoryQuery(PageQuery, SelectionQuery):
    """Pages of recorded events, newest first or oldest first."""

    order: Annotated[EventOrder, Field(strict=False)] = EventOrder.NEWEST_FIRST


class EventView(WireModel):
    """A recorded event. `data` is as docs/events/<type>.json says; its topic has the type's name."""

    position: int
    id: UuidText
    type: EventType
    time: Instant
    key: str
    source: str
    data: dict[str, Any]
    severity: SeverityText
    partition: int
    offset: int
    received_at: Instant


class EventPage(WireModel):
    """Some events and where the next page begins."""

    items: list[EventView]
    next_cursor: str | None


class SummaryQuery(WireModel):
    """`?window=`: over how many seconds events are counted."""

    window: Annotated[int, Field(ge=1, le=3600), FROM_DIGITS] = 60


class TypeCount(WireModel):
    """How many events of a type were recorded."""

    type: EventType
    count: int


class ReasonCount(WireModel):
    """How many transactions were refused for a reason, by its code."""

    code: str
    count: int


class TopicWaiting(WireModel):
    """How many records of a topic are not consumed."""

    topic: str
    records: int


class BacklogView(WireModel):
    """What a channel has still to send: how much, how much of it failed before, and since when the oldest."""

    channel: str
    unsettled: int
    failing: int
    oldest_at: Instant
    oldest_age_seconds: float


class EventsSummaryView(WireModel):
    """How events come in and go out.

    `total` events were recorded in the last `window_seconds`; `events` counts them by type, each up to
    `counted_up_to`. `reasons` says why the newest 1,000 of the refused transactions among them were
    refused; `deliveries` counts the oldest 5,000 unsettled ones. `waiting` is what the consumer group had
    not taken from Kafka a few seconds ago, null if Kafka does not answer. The newest event was recorded
    `newest_delay_seconds` after it happened.
    """

    at: Instant
    window_seconds: int
    position: int
    newest_at: Instant | None
    newest_delay_seconds: float | None
    total: int
    counted_up_to: int
    events: list[TypeCount]
    reasons: list[ReasonCount]
    waiting: list[TopicWaiting] | None
    deliveries: list[BacklogView]
    last_failures: list[EventView]
    last_undelivered: list[DeliveryView]


class DeliveriesProofView(WireModel):
    """How the deliveries stand; none is astray: each is settled or still tried."""

    settled: int
    given_up: int
    tried: int
    astray: int


class EventProofQuery(EventSetQuery):
    """The events that are digested, and the position behind which the log is read, 0 for all of it."""

    after: Position = 0


class EventProofView(WireModel):
    """What the notifier holds of the ledger's events; both sets equal the ledger's when all has arrived.

    `notifications` is the set of those events whose notification says what the event does. A later proof of
    the events from `until` on may go on behind the position `goes_on_after`.
    """

    holds: bool
    mismatch_count: int
    mismatches: list[MismatchView]
    events: EventSetView
    notifications: EventSetView
    goes_on_after: int
    deliveries: DeliveriesProofView


class MissingEvents(WireModel):
    """Those of the ids asked for under which no event is recorded."""

    missing: list[UuidText]


class EventProofLine(WireModel):
    """One line: progress, or as the last one the result or the problem."""

    progress: ProgressView | None = None
    result: EventProofView | None = None
    problem: dict[str, object] | None = None


def view_event(event: RecordedEvent) -> EventView:
    """Show an event."""
    return EventView(
        position=event.position,
        id=str(event.id),
        type=event.type,
        time=event.time,
        key=event.key,
        source=event.source,
        data=event.data,
        severity=event.severity,
        partition=event.partition,
        offset=event.offset,
        received_at=event.received_at,
    )


def view_summary(summary: Summary) -> EventsSummaryView:
    """Show a summary."""
    newest = summary.newest
    return EventsSummaryView(
        at=summary.at,
        window_seconds=round(summary.window.total_seconds()),
        position=0 if newest is None else newest.position,
        newest_at=None if newest is None else newest.time,
        newest_delay_seconds=None if newest is None else _seconds(newest.received_at - newest.time),
        total=summary.total,
        counted_up_to=COUNTED_EVENTS,
        events=[TypeCount(type=event_type, count=count) for event_type, count in summary.counts.items()],
        reasons=[ReasonCount(code=code, count=count) for code, count in summary.reasons.items()],
        waiting=None
        if summary.waiting is None
        else [
            TopicWaiting(topic=topic, records=records) for topic, records in sorted(summary.waiting.items())
        ],
        deliveries=[
            BacklogView(
                channel=one.channel,
                unsettled=one.unsettled,
                failing=one.failing,
                oldest_at=one.oldest_at,
                oldest_age_seconds=_seconds(summary.at - one.oldest_at),
            )
            for one in summary.backlogs
        ],
        last_failures=[view_event(event) for event in summary.last_failures],
        last_undelivered=[view_delivery(delivery) for delivery in summary.last_undelivered],
    )


def _seconds(length: timedelta) -> float:
    """A length of time between two clocks; never less than nothing."""
    return max(0.0, round(length.total_seconds(), 3))
