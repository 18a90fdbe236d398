"""Deliveries as staff see them, and taken up again by operators."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from daemons.contracts.errors import ConflictError, NotFoundError
from daemons.contracts.names import DeliveryState
from daemons.notifier.deliveries.delivery import Cause, Delivery
from daemons.notifier.deliveries.storage import MongoDeliveries
from daemons.notifier.unit_of_work import NotifierWork
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.audit.trail import log_act
from daemons.shared.clock import Clock, utc_now
from daemons.shared.http.pages import decode_number_cursor, encode_number_cursor


class Deliveries:
    """Shows deliveries, and owes again what was given up, with a record of who wanted it."""

    def __init__(
        self,
        work: NotifierWork,
        store: MongoDeliveries,
        *,
        on_owed: Callable[[], None],
        clock: Clock = utc_now,
    ) -> None:
        self._work = work
        self._store = store
        self._on_owed = on_owed
        self._clock = clock

    async def page(
        self,
        *,
        state: DeliveryState | None,
        channel: str | None,
        recipient: str | None,
        limit: int,
        cursor: str | None,
    ) -> tuple[list[Delivery], str | None]:
        """Return deliveries, newest first, and the cursor of the next page, None at the end.

        Raises:
            InvalidRequestError: `invalid_cursor`.
        """
        before = decode_number_cursor(cursor)
        found = await self._store.page(
            state=state, channel=channel, recipient=recipient, before=before, limit=limit + 1
        )
        page = found[:limit]
        return page, encode_number_cursor(page[-1].turn) if len(found) > limit else None

    async def of_event(self, event_id: UUID) -> list[Delivery]:
        """Return what an event owed."""
        return await self._store.of_cause(Cause.event(event_id))

    async def fetch(self, delivery_id: UUID) -> Delivery:
        """Return a delivery.

        Raises:
            NotFoundError: `delivery_not_found`.
        """
        found = await self._store.find(delivery_id)
        if found is None:
            raise delivery_not_found()
        return found

    async def retry(self, by: Actor, delivery_id: UUID) -> Delivery:
        """Owe again what was given up; it goes to the end of its recipient's line.

        Raises:
            NotFoundError: `delivery_not_found`.
            ConflictError: `delivery_not_given_up`, or `delivery_erased`: its content is gone.
        """
        before = await self.fetch(delivery_id)
        if before.state is not DeliveryState.GIVEN_UP:
            raise ConflictError(
                "delivery_not_given_up",
                f"The delivery is {before.state.value}; only one that was given up can be retried.",
            )
        if before.owed.cause.kind == "message":
            raise ConflictError(
                "delivery_erased",
                "The content of a message is erased when it is given up; order it again.",
            )
        now = self._clock()
        async for attempt in self._work.attempts():
            async with attempt as tx:
                reopened = await tx.deliveries.reopen(before, at=now)
                if reopened:
                    entry = _retry_entry(by, before, at=now)
                    tx.audit(entry)
        if reopened:
            log_act(entry)
            self._on_owed()
        return await self.fetch(delivery_id)


def _retry_entry(by: Actor, before: Delivery, *, at: datetime) -> AuditEntry:
    return AuditEntry(
        at=at,
        actor=by,
        action="retry_delivery",
        target_kind="delivery",
        target_id=str(before.id),
        reason=None,
        before={"state": before.state.value, "attempts": before.attempts, "fault": before.fault},
        after={"state": DeliveryState.OWED.value},
    )


def delivery_not_found() -> NotFoundError:
    """The error for an id that no delivery has."""
    return NotFoundError("delivery_not_found", "There is no such delivery.")
