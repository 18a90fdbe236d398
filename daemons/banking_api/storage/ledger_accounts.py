"""Accounts as deciding needs them: as written down, as the journal says, and written down again."""

from collections.abc import AsyncIterator, Collection
from itertools import islice

import pymongo

from daemons.banking_api.domain.account import AccountStatus
from daemons.banking_api.domain.decision import LedgerAccount
from daemons.banking_api.domain.journal import is_system_account
from daemons.banking_api.storage.account_history import WITH_NEWEST, newest_state
from daemons.shared.mongo import Database, Document, Session

_READ_AT_ONCE = 500
_WRITTEN_BACK_AT_ONCE = 5_000
_WRITE_BACK_TIMEOUT_SECONDS = 3
"""A group's answers wait for it, and so does a daemon that stops."""
_FIELDS = {"owner": 1, "status": 1, "currency": 1, "balance": 1, "sequence": 1}


class LedgerAccounts:
    """Reads and writes many accounts at once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._accounts = database["accounts"]

    async def as_written(self, ids: Collection[str], session: Session) -> dict[str, LedgerAccount]:
        """Return those that exist, as last written down: cheap, and perhaps behind the journal."""
        cursor = self._accounts.find({"_id": {"$in": list(ids)}}, _FIELDS, session=session)
        return {
            document["_id"]: _account(document, document["balance"], document["sequence"])
            async for document in cursor
        }

    async def written_in_turn(self, limit: int) -> AsyncIterator[list[LedgerAccount]]:
        """Yield up to so many accounts as last written down, some at a time."""
        cursor = self._accounts.find({}, _FIELDS).limit(limit).batch_size(_READ_AT_ONCE)
        while documents := await cursor.to_list(_READ_AT_ONCE):
            yield [_account(found, found["balance"], found["sequence"]) for found in documents]

    async def exact(self, ids: Collection[str], session: Session) -> dict[str, LedgerAccount]:
        """Return those that exist, as the journal says: one search of the index for each."""
        stages: list[Document] = [{"$match": {"_id": {"$in": list(ids)}}}, {"$project": _FIELDS}, WITH_NEWEST]
        cursor = await self._accounts.aggregate(stages, session=session)
        return {document["_id"]: _account(document, *newest_state(document)) async for document in cursor}

    async def write_back(self, accounts: Collection[LedgerAccount]) -> None:
        """Write accounts down some time after their entries, unless a later state stands there already.

        Raises:
            PyMongoError: some are not written down; nobody needs them to be.
        """
        updates = iter(
            {
                "q": {"_id": account.id, "sequence": {"$lt": account.sequence}},
                "u": {"$set": {"balance": account.balance_minor, "sequence": account.sequence}},
            }
            for account in accounts
        )
        while some := list(islice(updates, _WRITTEN_BACK_AT_ONCE)):
            with pymongo.timeout(_WRITE_BACK_TIMEOUT_SECONDS):
                await self._database.command(
                    "update", self._accounts.name, updates=some, ordered=False, writeConcern={"w": 1}
                )


def _account(document: Document, balance_minor: int, sequence: int) -> LedgerAccount:
    return LedgerAccount(
        id=document["_id"],
        owner=document["owner"],
        status=AccountStatus(document["status"]),
        currency=document["currency"],
        balance_minor=balance_minor,
        sequence=sequence,
        may_overdraw=is_system_account(document["_id"]),
    )
