"""What is written together with the audit's entries about it, or not at all."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Generic, TypeVar

from daemons.shared.audit.guarded import forget_changes
from daemons.shared.audit.record import AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.mongo import Attempts, Client, Session


class AuditedTransaction:
    """One attempt. A daemon's own adds what it stores, bound to the session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        forget_changes(session)
        self.entries: list[AuditEntry] = []

    def audit(self, *entries: AuditEntry) -> None:
        """Record these when all the rest is written, just before the commit."""
        self.entries.extend(entries)

    async def complete(self) -> None:
        """Write what follows from all the rest; the audit's entries come after it."""


TransactionT = TypeVar("TransactionT", bound=AuditedTransaction)


class UnitOfWork(Generic[TransactionT]):
    """Makes attempts at transactions that are recorded.

    Transactions that append to the trail at once conflict at its head, so one process's take turns
    (`MongoAuditTrail.turn`). A unit of work within another never begins.
    """

    def __init__(
        self, client: Client, audit: MongoAuditTrail, begin: Callable[[Session], TransactionT]
    ) -> None:
        self._client = client
        self._audit = audit
        self._begin = begin

    def attempts(self, *, recorded: bool = True, duplicates: int = 0) -> Attempts[TransactionT]:
        """Return the attempts at one transaction; see `daemons.shared.mongo.Attempts`.

        Args:
            recorded: False for a transaction that has no audit entry: it waits for no turn.
            duplicates: How often a document that a unique index refuses begins another attempt.

        Raises:
            TransientError: `overloaded`, others of this process took too long; and as `Attempts`.
            RuntimeError: the trail has lost its head; nothing is done that cannot be recorded.
        """
        return Attempts(
            self._client,
            self._begin,
            finish=self._record,
            turn=self._audit.turn if recorded else nullcontext,
            duplicates=duplicates,
        )

    async def _record(self, transaction: TransactionT) -> None:
        await transaction.complete()
        await self._audit.append(transaction.entries, session=transaction.session)
