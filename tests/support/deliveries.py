"""Deliveries owed and sent in this process, over a channel that does as a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from daemons.notifier.app import DAEMON
from daemons.notifier.channels.port import Message
from daemons.notifier.deliveries.delivery import Cause, Delivery, Owed, Patience
from daemons.notifier.deliveries.storage import MongoDeliveries
from daemons.notifier.deliveries.worker import LEASE_NAME, DeliveryWorker, Outlet
from daemons.notifier.event import Event
from daemons.notifier.event_log.storage import LogEnd
from daemons.notifier.unit_of_work import NotifierWork, notifier_work
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.lease import NamedLease
from daemons.shared.mongo import Database, Session
from tests.support.waiting import eventually

Behaviour = Callable[[Message, int], Awaitable[None]]
"""What a send does, given the message and how often it has been sent before."""


async def takes(_message: Message, _before: int) -> None:
    """Accept the message."""


class ScriptedChannel:
    """A channel of the tests, which keeps what it accepted."""

    def __init__(self, name: str = "scripted", behaviour: Behaviour = takes) -> None:
        self.name = name
        self.behaviour = behaviour
        self.accepted: list[Message] = []
        self.tries: dict[UUID, int] = {}

    async def send(self, message: Message) -> None:
        before = self.tries.get(message.delivery_id, 0)
        self.tries[message.delivery_id] = before + 1
        await self.behaviour(message, before)
        self.accepted.append(message)

    def texts(self, recipient: str) -> list[str]:
        return [message.text for message in self.accepted if message.recipient == recipient]


class OwesTo:
    """Each event owes one delivery to each of these recipients over a channel."""

    def __init__(self, channel: str, *recipients: str) -> None:
        self._channel = channel
        self._recipients = recipients

    async def owed(self, events: Sequence[Event], _session: Session) -> list[Owed]:
        return [
            Owed(Cause.event(event.id), self._channel, recipient)
            for event in events
            for recipient in self._recipients
        ]


async def compose(delivery: Delivery) -> Message:
    """Write the message of a delivery of the tests: its cause."""
    return Message(delivery.id, delivery.owed.recipient, "subject", delivery.owed.cause.id)


def work_on(database: Database) -> NotifierWork:
    return notifier_work(database, MongoAuditTrail(database, chain=DAEMON), LogEnd())


async def owe(database: Database, owed: Sequence[Owed]) -> list[Delivery]:
    """Write down what is owed."""
    async for attempt in work_on(database).attempts(recorded=False):
        async with attempt as tx:
            made = await tx.deliveries.insert(owed, at=utc_now())
    return made


def messages_to(channel: str, recipient: str, *ids: str) -> list[Owed]:
    return [Owed(Cause.message(id_), channel, recipient) for id_ in ids]


@asynccontextmanager
async def worker_on(
    database: Database,
    *channels: ScriptedChannel,
    patience: Patience | None = None,
    at_once: int = 4,
    send_seconds: float = 10.0,
) -> AsyncIterator[DeliveryWorker]:
    """A worker that sends over these channels."""
    worker = DeliveryWorker(
        MongoDeliveries(database),
        NamedLease(database, LEASE_NAME, new_id()),
        {one.name: Outlet(one, compose, at_once, send_seconds) for one in channels},
        patience=patience or Patience(first_pause_seconds=0.01, longest_pause_seconds=0.05),
        drain_seconds=0.5,
    )
    worker.start()
    try:
        yield worker
    finally:
        await worker.close()


async def states_in(database: Database) -> dict[str, str]:
    """The state of each delivery, by its cause."""
    return {one["cause_id"]: one["state"] async for one in database["deliveries"].find()}


async def all_settled(database: Database) -> None:
    """Wait until nothing is owed any more."""

    async def settled() -> bool:
        return not await database["deliveries"].count_documents({"due_at": {"$exists": True}})

    await eventually(settled)


async def never(_message: Message, _before: int) -> None:
    """Take no end."""
    await asyncio.Event().wait()
