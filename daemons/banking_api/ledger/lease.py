"""Which process is the ledger: one document, by the database's clock. It carries speed, never safety."""

from uuid import UUID

import structlog
from pymongo.read_concern import ReadConcern

from daemons.shared.lease import LEASE_SECONDS, RENEW_SECONDS, NamedLease
from daemons.shared.mongo import Database, Document

_LEFT_OPEN_SECONDS = LEASE_SECONDS - 2 * RENEW_SECONDS
"""For so long at least, nothing was done in a transaction of a process that has not renewed its lease."""
_LEDGER = "ledger"
_log = structlog.get_logger()


class Lease(NamedLease):
    """One process's view of the ledger's lease."""

    def __init__(self, database: Database, id_: UUID) -> None:
        super().__init__(database, _LEDGER, id_)
        self._database = database

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
            await admin.command({"killSessions": sessions}, codec_options=self._database.codec_options)
            _log.info("transactions of the ledger before ended", transactions=len(found))
