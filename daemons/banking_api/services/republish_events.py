"""Sends events again that were published and lost with Kafka's data: the journal still has what they tell."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from daemons.banking_api.storage.mongo_journal import MongoJournal
from daemons.contracts.digest import EventSetDigest
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.clock import Clock
from daemons.shared.mongo import Client, Session, run_transaction
from daemons.shared.outbox.store import OutboxStore


class EventRepublisher:
    """Owes events anew; `on_owed` is called after each commit."""

    def __init__(
        self,
        client: Client,
        journal: MongoJournal,
        outbox: OutboxStore,
        audit: MongoAuditTrail,
        *,
        on_owed: Callable[[], None],
        clock: Clock,
    ) -> None:
        self._client = client
        self._journal = journal
        self._outbox = outbox
        self._audit = audit
        self._on_owed = on_owed
        self._clock = clock

    async def republish(self, by: Actor, ids: Sequence[UUID], *, reason: str) -> tuple[int, list[UUID]]:
        """Put the transactions' events into the outbox; returns how many, and the ids of no transaction.

        They keep their ids, so it may be done again: whoever has them already ignores them.

        Raises:
            TransientError: it was not done and may be tried again.
            OutcomeUnknownError: it may have been done.
        """
        wanted = list(dict.fromkeys(ids))
        known = await self._journal.known(wanted)
        if not known:
            return 0, wanted
        entry = entry_on_events("republish_events", known, by=by, reason=reason, at=self._clock())

        async def body(session: Session) -> None:
            await self._outbox.add({"transactions": known}, events=len(known), session=session)
            await self._audit.append([entry], session=session)

        await run_transaction(self._client, body)
        self._on_owed()
        found = set(known)
        return len(known), [id_ for id_ in wanted if id_ not in found]


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
