"""What users say of their preferences, and the links that stop messages without signing in."""

from collections.abc import Collection
from dataclasses import replace
from uuid import UUID

import structlog

from daemons.contracts.errors import FieldError, InvalidRequestError
from daemons.notifier.preferences.models import PreferencesChange
from daemons.notifier.preferences.preferences import EMAIL, Preferences
from daemons.notifier.preferences.storage import MongoPreferences
from daemons.notifier.preferences.unsubscribe import UnsubscribeLinks

_log = structlog.get_logger()


class UserPreferences:
    """Reads and changes them; e-mail is always among the channels, others as the operator has them."""

    def __init__(
        self, store: MongoPreferences, links: UnsubscribeLinks, channels: Collection[str] = ()
    ) -> None:
        self._store = store
        self._links = links
        self.channels = sorted({EMAIL, *channels})

    async def of(self, user_id: UUID) -> Preferences:
        """Return a user's preferences."""
        return await self._store.of(str(user_id))

    async def change(self, user_id: UUID, change: PreferencesChange) -> Preferences:
        """Change them and return them as they are then.

        Raises:
            InvalidRequestError: a channel is unknown.
        """
        unknown = sorted(set(change.channels or ()) - {*self.channels})
        if unknown:
            message = f"{unknown[0]!r} is not a channel; there are {', '.join(self.channels)}"
            raise InvalidRequestError(
                "invalid_request",
                f"The request is malformed: channels: {message}.",
                errors=[FieldError("channels", message)],
            )
        after = change.applied_to(await self._store.of(str(user_id)))
        await self._store.save(str(user_id), after)
        return after

    async def linked(self, token: str) -> Preferences:
        """Return the preferences of the user whom a link names.

        Raises:
            NotFoundError: `link_unknown`.
        """
        user_id, _ = await self._links.read(token)
        return await self._store.of(str(user_id))

    async def unsubscribe(self, token: str) -> Preferences:
        """Stop the messages over the link's channel, security notices excepted.

        Raises:
            NotFoundError: `link_unknown`.
        """
        user_id, channel = await self._links.read(token)
        before = await self._store.of(str(user_id))
        after = replace(before, channels=before.channels - {channel})
        await self._store.save(str(user_id), after)
        _log.info("unsubscribed", user_id=str(user_id), channel=channel)
        return after
