"""The accounts as the ledger's process has them: in memory, in the cache collection, or from the journal.

The collection holds each account's terms exactly, because they are written with the record that changes them.
Balance and number are written down later, for the journal has them. So an account that is read from it may
lag. Whatever moves on it then finds its number taken, and a refusal has it read exactly first.
"""

from collections.abc import AsyncIterator, Collection, Iterable
from itertools import islice

import pymongo
import structlog
from pymongo.errors import PyMongoError

from daemons.banking_api.ledger.account import Account, Terms, untouched
from daemons.banking_api.ledger.documents import account_document, state_after
from daemons.banking_api.ledger.journal import Journal
from daemons.contracts.names import AccountStatus, AccountType
from daemons.shared.mongo import Database, Document, Session

ACCOUNTS_KEPT = 100_000
"""About 50 MB; what is pushed out is written down, so that it can be read again as cheaply as before."""
_READ_AT_ONCE = 500
_WRITTEN_AT_ONCE = 5_000
_WRITE_TIMEOUT_SECONDS = 3
"""A group's answers wait for it, and so does a daemon that stops."""
_log = structlog.get_logger()


class AccountCache:
    """Accounts by id, least recently used first, over the collection."""

    def __init__(self, database: Database, journal: Journal, *, limit: int = ACCOUNTS_KEPT) -> None:
        self._database = database
        self._accounts = database["accounts"]
        self._journal = journal
        self._limit = limit
        self._kept: dict[str, Account] = {}
        self._unwritten: set[str] = set()

    def __len__(self) -> int:
        """How many accounts are kept in memory."""
        return len(self._kept)

    async def read(
        self, ids: set[str], uncommitted: dict[str, Account], exactly: Collection[str], session: Session
    ) -> dict[str, Account]:
        """Return those that exist, for the caller to change; only what is not known is read.

        Args:
            ids: the accounts.
            uncommitted: what groups before are about to make of some, which may be changed, too.
            exactly: those of which it does not do that they may lag.
            session: the group's transaction.
        """
        kept = self._kept
        accounts = {id_: kept[id_].copy() for id_ in ids if id_ in kept}
        accounts |= uncommitted
        unknown = ids - accounts.keys()
        lagging = {id_ for id_ in exactly if id_ in accounts and not accounts[id_].is_exact}
        search = {id_ for id_ in unknown if id_ in exactly or untouched(id_) is not None} | lagging
        if unknown - search:
            accounts |= await self._as_written(unknown - search, session)
        if search:
            found = await self._exact(search, session)
            for id_ in lagging & found.keys():
                # What was kept or forgotten while the database answered is newer.
                if id_ in kept and kept[id_].sequence <= found[id_].sequence:
                    kept[id_] = found[id_].copy()
            accounts |= found
        return accounts

    async def _as_written(self, ids: Collection[str], session: Session) -> dict[str, Account]:
        found = self._accounts.find({"_id": {"$in": list(ids)}}, session=session)
        return {document["_id"]: _account(document) async for document in found}

    async def _exact(self, ids: Collection[str], session: Session) -> dict[str, Account]:
        accounts = {id_: account for id_ in ids if (account := untouched(id_)) is not None}
        opened = ids - accounts.keys()
        if opened:
            accounts |= await self._as_written(opened, session)
        for id_, (balance, sequence) in (await self._journal.newest(accounts, session=session)).items():
            account = accounts[id_]
            account.balance_minor, account.sequence = balance, sequence
        for account in accounts.values():
            account.is_exact = True
        return accounts

    async def write_terms(self, accounts: Iterable[Account], *, session: Session) -> None:
        """Write accounts whose terms have changed, in the transaction of the records that change them."""
        updates = [
            {"q": {"_id": account.id}, "u": account_document(account), "upsert": True} for account in accounts
        ]
        if updates:
            await self._database.command(
                "update",
                self._accounts.name,
                codec_options=self._accounts.codec_options,
                updates=updates,
                session=session,
            )

    def keep(self, accounts: Iterable[Account]) -> list[Account]:
        """Keep accounts as just committed; returns those there is no room for, to be written down."""
        for account in accounts:
            self._kept.pop(account.id, None)
            self._kept[account.id] = account
            self._unwritten.add(account.id)
        excess = len(self._kept) - self._limit
        if excess <= 0:
            return []
        pushed_out = [self._kept.pop(id_) for id_ in list(islice(self._kept, excess))]
        lost = [account for account in pushed_out if account.id in self._unwritten]
        self._unwritten.difference_update(account.id for account in lost)
        return lost

    def forget(self, ids: Iterable[str]) -> None:
        """Keep accounts no longer, because the number of one was found taken."""
        for id_ in ids:
            self._kept.pop(id_, None)

    def forget_all(self) -> None:
        """Keep nothing any longer, because another process has been the ledger."""
        self._kept.clear()
        self._unwritten.clear()

    async def warm_up(self) -> None:
        """Read as many accounts as there is room for, so that the first commands need not."""
        try:
            async for accounts in self._written_in_turn(self._limit):
                for account in accounts:
                    if len(self._kept) < self._limit:
                        self._kept.setdefault(account.id, account)
        except PyMongoError as error:
            _log.info("accounts not read beforehand", reason=type(error).__name__)

    async def _written_in_turn(self, limit: int) -> AsyncIterator[list[Account]]:
        cursor = self._accounts.find({}).limit(limit).batch_size(_READ_AT_ONCE)
        while documents := await cursor.to_list(_READ_AT_ONCE):
            yield [_account(document) for document in documents]

    async def write_down(self) -> None:
        """Write down what has changed since it last was, so that the next process need not search for it."""
        accounts = [self._kept[id_] for id_ in self._unwritten if id_ in self._kept]
        self._unwritten.clear()
        await self.write_back(accounts)

    async def write_back(self, accounts: Collection[Account]) -> None:
        """Write balances some time after their entries; nobody needs that to succeed."""
        updates = iter(
            {
                "q": {"_id": account.id, "sequence": {"$lt": account.sequence}},
                "u": {"$set": {"balance": account.balance_minor, "sequence": account.sequence}},
            }
            for account in accounts
            # What exists without being opened has no document.
            if untouched(account.id) is None
        )
        try:
            while some := list(islice(updates, _WRITTEN_AT_ONCE)):
                with pymongo.timeout(_WRITE_TIMEOUT_SECONDS):
                    await self._database.command(
                        "update", self._accounts.name, updates=some, ordered=False, writeConcern={"w": 1}
                    )
        except PyMongoError as error:
            _log.info("accounts not written down", reason=type(error).__name__, accounts=len(accounts))


def exact_account(document: Document) -> Account:
    """Return an account read through `WITH_NEWEST`."""
    account = _account(document)
    if document["newest"]:
        account.balance_minor, account.sequence = state_after(document["newest"][0], account.id)
    account.is_exact = True
    return account


def _account(document: Document) -> Account:
    type_ = document["type"]
    terms = Terms(
        owner=document["owner"],
        type=None if type_ is None else AccountType(type_),
        status=AccountStatus(document["status"]),
        currency=document["currency"],
        name=document["name"],
        status_reason=document["status_reason"],
        opened_at=document["opened_at"],
    )
    return Account(document["_id"], terms, document["balance"], document["sequence"], is_exact=False)
