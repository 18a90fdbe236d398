"""Which process does what only one should: one document, by the database's clock. It carries no safety."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from daemons.shared.mongo import Database, Document

LEASE_SECONDS = 3.0
RENEW_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds the lease, where it can be reached, and until when unless it is renewed."""

    id: UUID
    address: str
    until: datetime
    took_over: bool
    """Whether it has taken the lease from another process that let it run out."""


class NamedLease:
    """One process's view of a lease; `id` names the process."""

    def __init__(self, database: Database, name: str, id_: UUID) -> None:
        self._name = name
        self._leases = database["leases"]
        self.id = id_

    async def take(self, address: str = "") -> Holder:
        """Take or renew the lease unless another process holds it; returns who holds it now.

        Raises:
            PyMongoError: it is not known.
        """
        until = {"$add": ["$$NOW", int(LEASE_SECONDS * 1000)]}
        free: Document = {
            "$or": [
                {"$eq": ["$holder", self.id]},
                {"$lt": [{"$ifNull": ["$until", 0]}, "$$NOW"]},
            ]
        }
        another = {"$and": [{"$ifNull": ["$holder", False]}, {"$ne": ["$holder", self.id]}]}
        wanted = {
            "holder": self.id,
            "address": address,
            "until": until,
            "took_over": {"$cond": [another, True, {"$ifNull": ["$took_over", False]}]},
        }
        change = {name: {"$cond": [free, value, f"${name}"]} for name, value in wanted.items()}
        document = await self._leases.find_one_and_update(
            {"_id": self._name}, [{"$set": change}], upsert=True, return_document=True
        )
        assert document is not None  # noqa: S101 - it is made if it is not there
        return _holder(document)

    async def holder(self) -> Holder | None:
        """Return who holds the lease now, if anybody does."""
        document = await self._leases.find_one({"_id": self._name, "$expr": {"$gte": ["$until", "$$NOW"]}})
        return None if document is None else _holder(document)

    async def release(self) -> None:
        """Give the lease back, so that another process need not wait for it to run out."""
        await self._leases.delete_one({"_id": self._name, "holder": self.id})


def _holder(document: Document) -> Holder:
    took_over = document.get("took_over", False)
    return Holder(document["holder"], document["address"], document["until"], took_over)
