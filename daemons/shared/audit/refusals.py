"""Who was refused what at routes that are for staff only."""

from daemons.shared.audit.budget import RecordBudget
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.audit.unit_of_work import AuditedTransaction, UnitOfWork
from daemons.shared.clock import Clock

RECORDS_PER_MINUTE = 60
_PATH_LENGTH = 200


class RefusalRecorder:
    """Records refusals of permission: the first of each caller, route and fault in a minute.

    A refusal changes nothing, so its record is the whole of its transaction.
    """

    def __init__(self, audit: MongoAuditTrail, *, clock: Clock) -> None:
        self._work = UnitOfWork(audit.client, audit, AuditedTransaction)
        self._clock = clock
        self._budget = RecordBudget(per_minute=RECORDS_PER_MINUTE, clock=clock)

    async def record(self, actor: Actor, *, route: str, path: str, code: str) -> None:
        """Record that the actor was refused with this code; `path` is the one they called, as they sent it.

        Raises:
            TransientError: it could not be recorded.
        """
        with self._budget.spend((actor.user_id, route, code)) as left_out:
            if left_out is None:
                return
            entry = AuditEntry(
                at=self._clock(),
                actor=actor,
                action="access.refused",
                target_kind="route",
                target_id=route,
                reason=code,
                before=None,
                after={"path": path[:_PATH_LENGTH], "others_left_out": left_out},
            )
            async for attempt in self._work.attempts():
                async with attempt as tx:
                    tx.audit(entry)
