"""A delivery: what is owed to one recipient over one channel, its states, and when it is tried next."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from daemons.contracts.names import DeliveryState

SETTLED = frozenset({DeliveryState.SENT, DeliveryState.GIVEN_UP})


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a delivery is owed: an event, or a message that another daemon ordered."""

    kind: str
    id: str

    @classmethod
    def event(cls, event_id: UUID) -> "Cause":
        """The event with this id."""
        return cls("event", str(event_id))

    @classmethod
    def message(cls, message_id: str) -> "Cause":
        """The ordered message with this id."""
        return cls("message", message_id)


@dataclass(frozen=True, slots=True)
class Owed:
    """Something that is to be delivered. Cause, channel and recipient are unique together.

    `recipient` is who gets it, not where: a user's id, a webhook's id, or an address that belongs to no user.
    `order` is the message itself when there is no event to write it from; it is erased once settled.
    """

    cause: Cause
    channel: str
    recipient: str
    is_urgent: bool = False
    """It waits for no quiet hours, and not behind what does."""
    order: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """An owed delivery with its place in the order of all, and how it stands."""

    id: UUID
    turn: int
    owed: Owed
    state: DeliveryState
    attempts: int
    created_at: datetime
    tried_since: datetime
    """Since when it is tried: since it was owed, or since an operator took it up again."""
    due_at: datetime | None
    """When it is tried next; None once it is settled."""
    settled_at: datetime | None = None
    fault: str | None = None
    """Why it did not go out the last time."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a channel has still to send: how much, how much of it failed before, and since when the oldest."""

    channel: str
    unsettled: int
    failing: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt came out: the new state, when to try next, and what went wrong."""

    state: DeliveryState
    at: datetime
    due_at: datetime | None = None
    fault: str | None = None
    is_attempt: bool = True
    """False if nothing was sent because it is not time yet."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long deliveries are tried, and how the pauses between attempts grow."""

    give_up_after: timedelta = timedelta(hours=24)
    first_pause_seconds: float = 1.0
    longest_pause_seconds: float = 60.0

    def after_failure(self, delivery: Delivery, *, at: datetime, chance: float, fault: str) -> Outcome:
        """Return when to try again, or that it is given up; `chance` from 0 to 1 spreads the pauses.

        Pauses double up to the longest; each is shortened by up to half, so that what failed together does
        not come back together. The age counts, not the attempts: what waits behind a delivery to the same
        recipient grows old with it.
        """
        if at - delivery.tried_since >= self.give_up_after:
            return Outcome(DeliveryState.GIVEN_UP, at, fault=fault)
        doubled = self.first_pause_seconds * 2.0 ** min(delivery.attempts, 30)
        pause = min(self.longest_pause_seconds, doubled) * (1 - chance / 2)
        return Outcome(DeliveryState.FAILED, at, due_at=at + timedelta(seconds=pause), fault=fault)
