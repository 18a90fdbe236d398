"""Who decides what an event owes, in the transaction that records it."""

from collections.abc import Sequence
from typing import Protocol

from daemons.notifier.deliveries.delivery import Owed
from daemons.notifier.event import Event
from daemons.shared.mongo import Session


class Owing(Protocol):
    """Decides for one kind of recipients. What it reads, it reads in the transaction's session."""

    async def owed(self, events: Sequence[Event], session: Session) -> Sequence[Owed]:
        """Return what these events, recorded now, owe; in the events' order."""
        ...
