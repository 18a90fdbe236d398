"""Who was refused what at routes that are for staff only."""

from daemons.shared.audit.budget import RecordBudget
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.clock import Clock
from daemons.shared.mongo import run_transaction

RECORDS_PER_MINUTE = 60
_PATH_LENGTH = 200


class RefusalWitness:
    """Records refusals of permission: the first of each caller, route and fault in a minute.

    A refusal changes nothing, so its record is the whole of its transaction.
    """

    def __init__(self, audit: MongoAuditTrail, *, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock
        self._budget = RecordBudget(per_minute=RECORDS_PER_MINUTE, clock=clock)

    async def tell(self, actor: Actor, *, route: str, path: str, code: str) -> None:
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
            async with self._audit.turn():
                await run_transaction(self._audit.client, self._audit.recording(entry))
