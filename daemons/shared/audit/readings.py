"""Staff who read what is a customer's: with a reason, which holds for a while, and never unseen.

The first reading of a customer needs a reason. It opens a window for this reader and this customer; whatever
kind of data is read within it is recorded once, with the reason, in the transaction that lets it be read.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote
from uuid import UUID

from aiohttp import web
from pymongo import DESCENDING, IndexModel

from daemons.contracts.errors import FieldError, ForbiddenError, InvalidRequestError
from daemons.contracts.names import REASON_HEADER, Code
from daemons.contracts.vocabulary import fault_of_reason
from daemons.shared.audit.record import Actor, AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.audit.unit_of_work import AuditedTransaction, UnitOfWork
from daemons.shared.clock import Clock
from daemons.shared.http.origin import actor_of
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database, Document, unavailable_on_fault

EVERYBODY = "everybody"
"""In place of a customer: a list that is nobody's in particular."""
KEPT = timedelta(days=400)
"""So long a customer can see who has read their data; the audit keeps it for good."""
_SHOWN = 200
_INDEXES = [
    IndexModel([("reader", 1), ("customer", 1), ("until", DESCENDING)], name="by_reader"),
    IndexModel([("customer", 1), ("_id", DESCENDING)], name="by_customer"),
    IndexModel([("removed_at", 1)], expireAfterSeconds=0, name="kept"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """That one of the staff has read a customer's data: in which role, why, from when on, and what."""

    id: UUID
    role: str
    reason: str
    at: datetime
    until: datetime
    seen: Sequence[str]


class Readings:
    """Lets staff read what is others', and tells customers of it; with 0 hours nobody is asked."""

    def __init__(self, database: Database, audit: MongoAuditTrail, *, hours: int, clock: Clock) -> None:
        self._work = UnitOfWork(audit.client, audit, AuditedTransaction)
        self._readings = database["readings"]
        self._window = timedelta(hours=hours)
        self._clock = clock

    async def prepare(self) -> None:
        """Create collection and indexes."""
        await self._readings.create_indexes(_INDEXES)

    async def admit(
        self, reader: Actor, customers: Collection[UUID | str], *, what: str, reason: str | None
    ) -> None:
        """Go on only if the reader may read this of these customers now, and keep that they do.

        Raises:
            ForbiddenError: `reason_required`; no reason was given in the last hour.
            TransientError: it could not be recorded.
        """
        if not self._window:
            return
        for customer in sorted({str(one) for one in customers} - {str(reader.user_id)}):
            await self._admit(reader, customer, what, reason)

    async def of(self, customer_id: UUID) -> list[Reading]:
        """Return who has read this customer's data, newest first."""
        with unavailable_on_fault():
            cursor = self._readings.find({"customer": str(customer_id)}).sort("_id", DESCENDING)
            documents = await cursor.limit(_SHOWN).to_list()
        return [
            Reading(
                id=one["_id"],
                role=one["role"],
                reason=one["reason"],
                at=one["at"],
                until=one["until"],
                seen=one["seen"],
            )
            for one in documents
        ]

    async def _admit(self, reader: Actor, customer: str, what: str, reason: str | None) -> None:
        now = self._clock()
        with unavailable_on_fault():
            window = await self._readings.find_one(
                {"reader": reader.user_id, "customer": customer, "until": {"$gt": now}}
            )
        if window is None and reason is None:
            raise ForbiddenError(
                Code.REASON_REQUIRED,
                f"Say in the header {REASON_HEADER} why you read this; it holds for a while.",
                details={"customer": customer},
            )
        if window is not None and what in window["seen"]:
            return
        opened: Document = window or {
            "_id": new_id(),
            "reader": reader.user_id,
            "role": reader.role,
            "customer": customer,
            "reason": reason,
            "at": now,
            "until": now + self._window,
            "removed_at": now + KEPT,
            "seen": [],
        }
        entry = AuditEntry(
            at=now,
            actor=reader,
            action="read_customer",
            target_kind="user",
            target_id=customer,
            reason=opened["reason"],
            before=None,
            after={"read": what},
        )
        async for attempt in self._work.attempts():
            async with attempt as tx:
                if window is None:
                    await self._readings.insert_one({**opened, "seen": [what]}, session=tx.session)
                else:
                    await self._readings.update_one(
                        {"_id": opened["_id"]}, {"$addToSet": {"seen": what}}, session=tx.session
                    )
                tx.audit(entry)


READINGS_KEY = web.AppKey("readings", Readings)


async def admit_reading(request: web.Request, customers: Collection[UUID | str], *, what: str) -> None:
    """Go on only if who calls may read this of these customers now; see `Readings.admit`.

    Raises:
        InvalidRequestError: the reason is none.
    """
    await request.app[READINGS_KEY].admit(actor_of(request), customers, what=what, reason=_reason_of(request))


def _reason_of(request: web.Request) -> str | None:
    """Return the reason that a header gives, percent-encoded as UTF-8."""
    given = request.headers.get(REASON_HEADER)
    if given is None:
        return None
    reason = unquote(given).strip()
    if fault := fault_of_reason(reason):
        raise InvalidRequestError(
            "invalid_request",
            f"The request is malformed: {REASON_HEADER} {fault}.",
            errors=[FieldError(REASON_HEADER, fault)],
        )
    return reason
