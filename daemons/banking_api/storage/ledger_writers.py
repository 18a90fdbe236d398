"""Which processes write to this ledger now: a hint for what to read and write, never a proof.

Each process says once a second that it is there. One that is alone knows the accounts best itself. Several
take turns (`ledger_turns`), and where one is new the others write down what only they know.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import structlog
from pymongo.errors import PyMongoError

from daemons.shared.ids import new_id
from daemons.shared.mongo import Database, Document
from daemons.shared.tasks import end_task

BEAT_SECONDS = 1.0
GONE_AFTER = timedelta(seconds=5)
"""A process that has been silent for longer is taken for dead; if it is not, its groups are decided twice."""
_log = structlog.get_logger()


class LedgerWriters:
    """This process among those that write to the ledger."""

    def __init__(self, database: Database) -> None:
        self._writers = database["writers"]
        self._own = new_id()
        self.alone = False
        """Whether no other process was there at the last beat."""
        self.newcomers = False
        """Whether others have come who know nothing yet; set back by whoever writes down what it knows."""
        self._seen: set[UUID] = set()

    @asynccontextmanager
    async def signed_on(self) -> AsyncIterator["LedgerWriters"]:
        """Say that this process is there, look around, and go on doing so until the end."""
        await self._beat()
        beating = asyncio.create_task(self._beat_on(), name="ledger-writers")
        try:
            yield self
        finally:
            await end_task(beating)
            await self._sign_off()

    async def _sign_off(self) -> None:
        try:
            await self._writers.delete_one({"_id": self._own})
        except PyMongoError:
            _log.info("not signed off among the ledger's writers, it will be forgotten")

    async def _beat_on(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            await self._beat()

    async def _beat(self) -> None:
        try:
            # By the database's clock, for those of several machines differ.
            await self._writers.update_one({"_id": self._own}, [{"$set": {"seen_at": "$$NOW"}}], upsert=True)
            others = await self._others()
            self.alone = not others
            self.newcomers = self.newcomers or not others <= self._seen
            self._seen = others
        except PyMongoError as error:
            self.alone = False
            _log.info("the ledger's writers are not known", reason=type(error).__name__)

    async def _others(self) -> set[UUID]:
        silent_since = {"$subtract": ["$$NOW", int(GONE_AFTER.total_seconds() * 1000)]}
        lively: Document = {"_id": {"$ne": self._own}, "$expr": {"$gt": ["$seen_at", silent_since]}}
        others = {found["_id"] async for found in self._writers.find(lively)}
        await self._writers.delete_many({"$expr": {"$lte": ["$seen_at", silent_since]}})
        return others
