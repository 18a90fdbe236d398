"""What an event owes to the users it concerns, by their preferences."""

from collections.abc import Collection, Sequence

from daemons.contracts.names import NoticeType
from daemons.notifier.deliveries.delivery import Cause, Owed
from daemons.notifier.event import Event
from daemons.notifier.preferences.notices import notices_in
from daemons.notifier.preferences.preferences import Preferences
from daemons.notifier.preferences.storage import MongoPreferences
from daemons.shared.mongo import Session

_DEFAULT = Preferences()


class OwedToUsers:
    """Decides over which of the configured channels each user hears of an event."""

    def __init__(self, store: MongoPreferences, channels: Collection[str]) -> None:
        self._store = store
        self._channels = channels

    async def owed(self, events: Sequence[Event], session: Session) -> list[Owed]:
        """Return what these events owe, in their order."""
        concerned = [(event, notice) for event in events for notice in notices_in(event.data)]
        kept = await self._store.of_all({notice.user_id for _, notice in concerned}, session)
        return [
            Owed(
                Cause.event(event.id),
                channel,
                notice.user_id,
                is_urgent=notice.type is NoticeType.SECURITY,
            )
            for event, notice in concerned
            for channel in sorted(kept.get(notice.user_id, _DEFAULT).channels_for(notice.type, notice.amount))
            if channel in self._channels
        ]
