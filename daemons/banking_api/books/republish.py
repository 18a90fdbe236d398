"""Sends events again that were published and lost with Kafka's data: the journal still has what they tell."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID

from daemons.banking_api.ledger.journal import Journal
from daemons.banking_api.ledger.record import Record
from daemons.contracts.digest import EventSetDigest
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.audit.unit_of_work import AuditedTransaction, UnitOfWork
from daemons.shared.clock import Clock
from daemons.shared.kafka.producer import EventProducer
from daemons.shared.kafka.records import OutgoingRecord
from daemons.shared.mongo import Client


class EventRepublisher:
    """Publishes events of records again, beside the relay and under their old ids."""

    def __init__(
        self,
        client: Client,
        journal: Journal,
        encode: Callable[[Sequence[Record]], Awaitable[list[OutgoingRecord]]],
        producer: EventProducer,
        audit: MongoAuditTrail,
        *,
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._encode = encode
        self._producer = producer
        self._work = UnitOfWork(client, audit, AuditedTransaction)
        self._clock = clock

    async def republish(self, by: Actor, ids: Sequence[UUID], *, reason: str) -> tuple[int, list[UUID]]:
        """Publish the records' events; returns how many, and the ids of no record.

        They keep their ids, so it may be done again: a consumer that has them already ignores them.

        Raises:
            TransientError: not all were confirmed; it may be tried again.
            OutcomeUnknownError: it may not be in the audit; it may be tried again.
        """
        wanted = list(dict.fromkeys(ids))
        records = await self._journal.by_id(wanted)
        known = sorted(records)
        if not known:
            return 0, wanted
        entry = entry_on_events("republish_events", known, by=by, reason=reason, at=self._clock())
        async for attempt in self._work.attempts():
            async with attempt as tx:
                tx.audit(entry)
        await self._producer.publish(await self._encode([records[id_] for id_ in known]))
        return len(known), [id_ for id_ in wanted if id_ not in records]


def entry_on_events(action: str, ids: Sequence[UUID], *, by: Actor, reason: str, at: datetime) -> AuditEntry:
    """Return the audit entry of an act on events, given in order; it holds their digest, not each of them."""
    digest = EventSetDigest()
    for id_ in ids:
        digest.add(id_)
    return AuditEntry(
        at=at,
        actor=by,
        action=action,
        target_kind="events",
        target_id=f"{ids[0]} to {ids[-1]}",
        reason=reason,
        before=None,
        after={"events": digest.count, "digest": digest.hexdigest()},
    )
