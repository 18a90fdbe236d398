"""Requests for approval in MongoDB."""

from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from pymongo import DESCENDING, IndexModel

from daemons.contracts.names import ApprovalStatus
from daemons.shared.approvals.approval import Approval, Decision, approval_decided
from daemons.shared.approvals.policy import GuardedAct
from daemons.shared.audit.guarded import Guarded
from daemons.shared.mongo import Database, Document, Session

APPROVAL = Guarded(
    kind="approval",
    collection="approvals",
    fields=(
        "act",
        "target",
        "reason",
        "parameters",
        "requester_id",
        "requested_by",
        "requested_at",
        "expires_at",
        "status",
        "decision",
        "idempotency_key",
    ),
)
_INDEXES = [
    IndexModel([("status", 1), ("_id", DESCENDING)], name="by_status"),
    IndexModel(
        [("requester_id", 1), ("idempotency_key", 1)],
        unique=True,
        partialFilterExpression={"idempotency_key": {"$type": "string"}},
        name="requested_once",
    ),
]


class MongoApprovals:
    """Every request that was ever made; none is removed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._approvals = database[APPROVAL.collection]

    async def prepare(self) -> None:
        """Create collection and indexes."""
        await self._approvals.create_indexes(_INDEXES)

    async def insert(self, approval: Approval, *, session: Session) -> None:
        """Add a request in the caller's transaction.

        Raises:
            DuplicateKeyError: the requester has made one under the same idempotency key.
        """
        async with APPROVAL.changing(self._database, session, {"_id": approval.id}):
            await self._approvals.insert_one(_to_document(approval), session=session)

    async def find(self, approval_id: UUID) -> Approval | None:
        """Return the request of this id."""
        document = await self._approvals.find_one({"_id": approval_id})
        return _from_document(document) if document else None

    async def find_by_key(self, requester_id: UUID, idempotency_key: str) -> Approval | None:
        """Return the request that this person made under this key."""
        document = await self._approvals.find_one(
            {"requester_id": requester_id, "idempotency_key": idempotency_key}
        )
        return _from_document(document) if document else None

    async def page(
        self, *, status: ApprovalStatus | None, now: datetime, before: UUID | None, limit: int
    ) -> list[Approval]:
        """Return up to `limit` requests, newest first, older than the request `before`."""
        query: Document = {}
        if status is ApprovalStatus.EXPIRED:
            query = {"status": ApprovalStatus.PENDING.value, "expires_at": {"$lte": now}}
        elif status in {ApprovalStatus.PENDING, ApprovalStatus.WITHDRAWN}:
            # Which of the two they are is not written down here: it depends on who asked.
            query = {"status": ApprovalStatus.PENDING.value, "expires_at": {"$gt": now}}
        elif status is not None:
            query = {"status": status.value}
        if before is not None:
            query["_id"] = {"$lt": before}
        cursor = self._approvals.find(query).sort("_id", DESCENDING).limit(limit)
        return [_from_document(document) async for document in cursor]

    async def decide(
        self, approval_id: UUID, status: ApprovalStatus, decision: Decision, *, session: Session
    ) -> None:
        """Mark a pending request as decided in the caller's transaction, which is the act's own.

        Two who decide at once conflict on this document; the second one finds it decided.

        Raises:
            ConflictError: `approval_decided`; the transaction must not go on.
        """
        async with APPROVAL.changing(self._database, session, {"_id": approval_id}):
            written = await self._approvals.update_one(
                {
                    "_id": approval_id,
                    "status": ApprovalStatus.PENDING.value,
                    "expires_at": {"$gt": decision.at},
                },
                {"$set": {"status": status.value, "decision": asdict(decision)}},
                session=session,
            )
        if written.matched_count == 0:
            raise approval_decided()


def _to_document(approval: Approval) -> Document:
    return {
        "_id": approval.id,
        "act": approval.act.value,
        "target": {"kind": approval.target_kind, "id": approval.target_id},
        "reason": approval.reason,
        "parameters": approval.parameters,
        "requester_id": approval.requester_id,
        "requested_by": approval.requested_by,
        "requested_at": approval.requested_at,
        "expires_at": approval.expires_at,
        "status": approval.stored_status.value,
        "decision": None,
        "idempotency_key": approval.idempotency_key,
    }


def _from_document(document: Document) -> Approval:
    decision = document["decision"]
    return Approval(
        id=document["_id"],
        act=GuardedAct(document["act"]),
        target_kind=document["target"]["kind"],
        target_id=document["target"]["id"],
        reason=document["reason"],
        parameters=document["parameters"],
        requester_id=document["requester_id"],
        requested_by=document["requested_by"],
        requested_at=document["requested_at"],
        expires_at=document["expires_at"],
        stored_status=ApprovalStatus(document["status"]),
        decision=Decision(**decision) if decision else None,
        idempotency_key=document["idempotency_key"],
    )
