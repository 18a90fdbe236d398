"""Which process is the ledger: one document, by the database's clock. It carries speed, never safety."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from pymongo.read_concern import ReadConcern

from daemons.shared.mongo import Database, Document

LEASE_SECONDS = 3.0
RENEW_SECONDS = 1.0
_LEFT_OPEN_SECONDS = LEASE_SECONDS - 2 * RENEW_SECONDS
"""For so long at least, nothing was done in a transaction of a process that has not renewed its lease."""
_LEDGER = "ledger"
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds the lease, where its stream is, and until when unless it is renewed."""

    id: UUID
    address: str
    until: datetime
    took_over: bool
    """Whether it has taken the lease from another process that let it run out."""


class Lease:
    """One process's view of the lease; `id` names the process."""

    def __init__(self, database: Database, id_: UUID) -> None:
        self._database = database
        self._leases = database["leases"]
        self.id = id_

    async def take(self, address: str) -> Holder:
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
            {"_id": _LEDGER}, [{"$set": change}], upsert=True, return_document=True
        )
        assert document is not None  # noqa: S101 - it is made if it is not there
        return _holder(document)

    async def holder(self) -> Holder | None:
        """Return who holds the lease now, if anybody does."""
        document = await self._leases.find_one({"_id": _LEDGER, "$expr": {"$gte": ["$until", "$$NOW"]}})
        return None if document is None else _holder(document)

    async def end_what_was_left_open(self) -> None:
        """End the transactions that the ledger before has left open when it was killed or stopped.

        They hold the next seal's number until the server gives them up, which takes longer than the lease. A
        process that is alive tries again what was ended of its own.
        """
        app = self._database.client.options.pool_options.appname
        admin = self._database.client.get_database("admin", read_concern=ReadConcern("local"))
        left_open: Document = {
            "appName": app,
            "transaction.timeInactiveMicros": {"$gte": _LEFT_OPEN_SECONDS * 1_000_000},
        }
        stages: list[Document] = [
            {"$currentOp": {"allUsers": False, "idleSessions": True}},
            {"$match": left_open},
        ]
        found = await (await admin.aggregate(stages)).to_list()
        if found:
            sessions = [{"id": one["lsid"]["id"]} for one in found]
            await admin.command({"killSessions": sessions}, codec_options=self._leases.codec_options)
            _log.info("transactions of the ledger before ended", transactions=len(found))

    async def release(self) -> None:
        """Give the lease back, so that another process need not wait for it to run out."""
        await self._leases.delete_one({"_id": _LEDGER, "holder": self.id})


def _holder(document: Document) -> Holder:
    took_over = document.get("took_over", False)
    return Holder(document["holder"], document["address"], document["until"], took_over)
