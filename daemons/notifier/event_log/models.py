"""What the routes of events take and answer."""

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from daemons.contracts.names import EventOrder, EventType
from daemons.contracts.vocabulary import IDS_LIMIT
from daemons.contracts.wire import Instant, UuidText, WireModel
from daemons.notifier.event import RecordedEvent, Selection
from daemons.notifier.notifications.models import SeverityText
from daemons.shared.http.event_sets import EventSetView, MismatchView
from daemons.shared.http.lines import ProgressView
from daemons.shared.http.pages import FROM_DIGITS, LARGEST_NUMBER, PageQuery

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


class SelectionQuery(WireModel):
    """`?type=A,B&account=`: which events."""

    type: TypeNames | None = None
    account: AccountNumber | None = None

    @property
    def selection(self) -> Selection:
        """The events asked for."""
        names = self.type.split(",") if self.type else []
        return Selection(frozenset(EventType(name) for name in names), self.account)


class StreamQuery(SelectionQuery):
    """`?after=`: stream from behind this position; the header Last-Event-ID says the same and goes first."""

    after: Position | None = None


class HistoryQuery(PageQuery, SelectionQuery):
    """Pages of recorded events, newest first or oldest first."""

    order: Annotated[EventOrder, Field(strict=False)] = EventOrder.NEWEST_FIRST


class EventView(WireModel):
    """A recorded event. `data` is as docs/events/<type>.json says."""

    position: int
    id: UuidText
    type: EventType
    time: Instant
    key: str
    source: str
    data: dict[str, Any]
    severity: SeverityText
    received_at: Instant


class EventPage(WireModel):
    """Some events and where the next page begins."""

    items: list[EventView]
    next_cursor: str | None


class DeliveriesProofView(WireModel):
    """How the deliveries stand; none is astray: each is settled or still tried."""

    settled: int
    given_up: int
    tried: int
    astray: int


class EventProofView(WireModel):
    """What the notifier holds of the ledger's events; both sets equal the ledger's when all has arrived.

    `notifications` is the set of those events whose notification says what the event does.
    """

    holds: bool
    mismatch_count: int
    mismatches: list[MismatchView]
    events: EventSetView
    notifications: EventSetView
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
        received_at=event.received_at,
    )
