"""The query strings of the notifier's routes, and the cursors of its lists."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints

from daemons.contracts.events import EventType
from daemons.contracts.wire import UuidText, WireModel
from daemons.notifier.event_log.reader import NotificationPlace
from daemons.notifier.event_log.selection import Selection
from daemons.notifier.severity import Severity
from daemons.shared.http.pages import FROM_DIGITS, PageQuery, decode_cursor, encode_cursor, invalid_cursor

LAST_POSITION = 2**63 - 1
_POSITION_BYTES = 8
_PLACE_BYTES = _POSITION_BYTES + 16
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
Position = Annotated[int, Field(ge=0, le=LAST_POSITION), FROM_DIGITS]


class EventIds(WireModel):
    """Ids of events that are to be looked for."""

    ids: Annotated[list[UuidText], Field(min_length=1, max_length=500)]


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

    order: Literal["asc", "desc"] = "desc"


class NotificationsQuery(PageQuery):
    """Pages of notifications, newest first."""

    severity: Literal["info", "warning"] | None = None

    @property
    def only(self) -> Severity | None:
        """The one severity asked for."""
        return Severity(self.severity) if self.severity else None


def position_cursor(position: int) -> str:
    """Make the cursor of an event's position."""
    return encode_cursor(position.to_bytes(_POSITION_BYTES, "big"))


def read_position_cursor(cursor: str | None) -> int | None:
    """Return the position a cursor stands for.

    Raises:
        InvalidRequestError: with code `invalid_cursor`.
    """
    raw = decode_cursor(cursor)
    if raw is None:
        return None
    if len(raw) != _POSITION_BYTES:
        raise invalid_cursor()
    return _position(raw)


def place_cursor(place: NotificationPlace) -> str:
    """Make the cursor of a notification's place."""
    position, notification_id = place
    return encode_cursor(position.to_bytes(_POSITION_BYTES, "big") + notification_id.bytes)


def read_place_cursor(cursor: str | None) -> NotificationPlace | None:
    """Return the place a cursor stands for.

    Raises:
        InvalidRequestError: with code `invalid_cursor`.
    """
    raw = decode_cursor(cursor)
    if raw is None:
        return None
    if len(raw) != _PLACE_BYTES:
        raise invalid_cursor()
    return _position(raw[:_POSITION_BYTES]), UUID(bytes=raw[_POSITION_BYTES:])


def _position(raw: bytes) -> int:
    position = int.from_bytes(raw, "big")
    if position > LAST_POSITION:
        raise invalid_cursor()
    return position
