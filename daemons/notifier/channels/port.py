"""The port of channels: a message goes out, or the channel says whether trying again can help."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID


class Unavailable(Exception):  # noqa: N818 - how a send came out, the word of the port
    """The message did not go out and may be tried again: no connection, no answer, a passing refusal."""


class Refused(Exception):  # noqa: N818 - as above
    """The message will never go out as it is: no such address, a permanent refusal."""


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to one recipient, whose address is as the channel needs it.

    `event` is the event in its wire form, as `GET /events/history` shows one; None for a message about none.
    A message that goes out a second time has the same `delivery_id`, so that a recipient can tell.
    """

    delivery_id: UUID
    recipient: str
    subject: str
    text: str
    html: str | None = None
    event: Mapping[str, Any] | None = None
    unsubscribe_url: str | None = None


class Channel(Protocol):
    """One way to reach people or programs. Its name stands in deliveries, preferences and metrics."""

    @property
    def name(self) -> str:
        """What the channel is called everywhere."""
        ...

    async def send(self, message: Message) -> None:
        """Send the message; it counts as sent once this returns.

        The worker bounds the time of a send and takes running out of it for `Unavailable`.

        Raises:
            Unavailable: it is worth trying again later.
            Refused: it is not.
        """
        ...
