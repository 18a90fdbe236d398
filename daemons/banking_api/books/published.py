"""Compares this bank's events in Kafka with the database, which must know every one of them.

An event is committed before it is published. One that Kafka has and the database does not know was told by a
later state of it: an older copy is served, a backup or a disk of last week. To go on publishing would tell
consumers a second history under the same numbers of the same accounts, and bury the end of the first one. So
nothing is published until the right database is served, or an operator gives up as lost what is missing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Gauge
from pydantic_core import from_json

from daemons.banking_api.books.events import BANK_HEADER
from daemons.banking_api.books.origins import EventOrigins
from daemons.banking_api.books.republish import entry_on_events
from daemons.banking_api.ledger.relay import Agreement
from daemons.contracts.kafka_accounts import BANKING_TOPICS
from daemons.contracts.names import EventType
from daemons.shared.audit.record import Actor
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.audit.unit_of_work import AuditedTransaction, UnitOfWork
from daemons.shared.clock import Clock
from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.kafka.newest import ReadingRefusedError, read_newest
from daemons.shared.kafka.records import IncomingRecord
from daemons.shared.mongo import Client

LOOKED_AT = 100
"""Records of each partition. The newest of this bank is enough; others may share a Kafka for tests."""

_unknown_events = Gauge(
    "bankctl_relay_unknown_events", "Events at the end of Kafka's topics that the database does not know"
)
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UnknownEvent:
    """An event that was published, and that the database does not know."""

    id: UUID
    type: str
    time: str


class PublishedEvents:
    """Looks at the newest events of one bank in Kafka; `unknown` are those of the last look."""

    def __init__(
        self,
        cluster: KafkaCluster,
        origins: EventOrigins,
        client: Client,
        audit: MongoAuditTrail,
        *,
        bank_id: UUID,
        clock: Clock,
    ) -> None:
        self._cluster = cluster
        self._origins = origins
        self._work = UnitOfWork(client, audit, AuditedTransaction)
        self._bank_id = str(bank_id).encode()
        self._clock = clock
        self.unknown: Sequence[UnknownEvent] = ()

    async def compare(self, confirm_primary: Callable[[], Any]) -> Agreement:
        """Read Kafka first and the database second: what is committed meanwhile is no contradiction.

        Args:
            confirm_primary: awaited in between; it writes to the database. A primary that has been replaced
                cannot, and might not know what was committed since.

        Raises:
            TransientError: Kafka does not answer.
            PyMongoError: the database does not.
        """
        try:
            newest = await read_newest(self._cluster, BANKING_TOPICS, each=LOOKED_AT)
        except ReadingRefusedError as error:
            return Agreement(
                notice=f"Kafka does not let banking_api read what it has published ({error}), so nothing "
                "would notice an older copy of the database. `kafka_admin prepare` gives the right."
            )
        events = {UUID(id_): record for record in newest.records if (id_ := self._id_of(record)) is not None}
        await confirm_primary()
        unknown = await self._origins.without({id_: _opened(record) for id_, record in events.items()})
        self.unknown = sorted((_unknown(id_, events[id_]) for id_ in unknown), key=lambda event: event.id)
        _unknown_events.set(len(unknown))
        if not self.unknown:
            return Agreement(is_complete=not newest.unread)
        return Agreement(notice=_sentence(self.unknown), may_publish=False)

    async def give_up(self, by: Actor, ids: Sequence[UUID], *, reason: str) -> list[UUID]:
        """Give up as lost those of the events that the database does not know; returns which.

        Raises:
            TransientError: it was not done and may be tried again.
            OutcomeUnknownError: it may have been done.
        """
        lost = sorted(await self._origins.without(dict.fromkeys(ids)))
        if not lost:
            return []
        now = self._clock()
        entry = entry_on_events("give_up_events", lost, by=by, reason=reason, at=now)

        async for attempt in self._work.attempts():
            async with attempt as tx:
                await self._origins.give_up(lost, at=now, session=tx.session)
                tx.audit(entry)
        _log.warning("events were given up as lost", events=len(lost))
        return lost

    def _id_of(self, record: IncomingRecord) -> str | None:
        """The event's id, if this bank has told it."""
        id_ = record.headers.get("ce_id", b"").decode(errors="replace")
        return id_ if record.headers.get(BANK_HEADER) == self._bank_id and _is_id(id_) else None


def _is_id(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _opened(record: IncomingRecord) -> str | None:
    """The number of the account whose opening a record tells."""
    if record.topic != EventType.ACCOUNT_CHANGED:
        return None
    try:
        data: Mapping[str, Any] = from_json(record.value or b"{}")
        return str(data["account_id"]) if data["change"] == "opened" else None
    except (ValueError, KeyError, TypeError):
        return None


def _unknown(id_: UUID, record: IncomingRecord) -> UnknownEvent:
    return UnknownEvent(id_, record.topic, record.headers.get("ce_time", b"").decode(errors="replace"))


def _sentence(unknown: Sequence[UnknownEvent]) -> str:
    newest = max(event.time for event in unknown)
    return (
        f"an older copy of the database is served: Kafka holds {len(unknown)} events (newest of {newest}) "
        "that it does not know. Nothing is published until the right copy is served, or an operator gives "
        "them up (`bankctl admin events give-up`)."
    )
