"""Notifications page by page."""

from uuid import UUID

from daemons.contracts.names import Severity
from daemons.notifier.notifications.notification import Notification
from daemons.notifier.notifications.storage import MongoNotifications, NotificationPlace
from daemons.shared.http.pages import LARGEST_NUMBER, decode_cursor, encode_cursor, invalid_cursor

_POSITION_BYTES = 8
_PLACE_BYTES = _POSITION_BYTES + 16


class Notifications:
    """What staff see of notifications."""

    def __init__(self, store: MongoNotifications) -> None:
        self._store = store

    async def page(
        self, *, severity: Severity | None, limit: int, cursor: str | None
    ) -> tuple[list[Notification], str | None]:
        """Return notifications, newest first, and the cursor of the next page, None at the end.

        Raises:
            InvalidRequestError: `invalid_cursor`.
            TransientError: the database does not answer.
        """
        # One more than asked tells whether another page follows.
        found = await self._store.before(_place_of(cursor), severity=severity, limit=limit + 1)
        page = found[:limit]
        after = _cursor_of(page[-1][0]) if len(found) > limit else None
        return [notification for _, notification in page], after


def _cursor_of(place: NotificationPlace) -> str:
    position, notification_id = place
    return encode_cursor(position.to_bytes(_POSITION_BYTES, "big") + notification_id.bytes)


def _place_of(cursor: str | None) -> NotificationPlace | None:
    raw = decode_cursor(cursor)
    if raw is None:
        return None
    position = int.from_bytes(raw[:_POSITION_BYTES], "big")
    if len(raw) != _PLACE_BYTES or position > LARGEST_NUMBER:
        raise invalid_cursor()
    return position, UUID(bytes=raw[_POSITION_BYTES:])
