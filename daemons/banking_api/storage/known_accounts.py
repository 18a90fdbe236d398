"""The accounts that groups are decided on: as this process knows them, and read where that is not enough.

What is known is a hint, never a proof (`working_set.py`): the journal's unique index refuses the number of an
entry that was decided on an account that is out of date, and the group is decided again on more that is read.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from pymongo.errors import PyMongoError

from daemons.banking_api.domain.decision import LedgerAccount
from daemons.banking_api.storage.ledger_accounts import LedgerAccounts
from daemons.banking_api.storage.ledger_turns import Missed
from daemons.banking_api.storage.ledger_writers import LedgerWriters
from daemons.banking_api.storage.working_set import ACCOUNTS_KEPT, WorkingSet, bring_up_to_date
from daemons.shared.mongo import Database, Session
from daemons.shared.tasks import end_task

_TAKEN_BEFORE_ALL_ARE_SEARCHED = 2
_log = structlog.get_logger()


class OutOfDateError(Exception):
    """A refusal rests on accounts that have changed since; nothing was written."""


@dataclass(slots=True)
class Doubts:
    """What earlier attempts at a group have shown to be out of date."""

    taken: dict[str, int] = field(default_factory=dict)
    """Numbers that were found taken: an account that is known under a lower one is out of date."""
    exact: set[str] = field(default_factory=set)
    """Accounts to be searched for in the journal."""


class KnownAccounts:
    """What one process knows of the ledger's accounts."""

    def __init__(self, database: Database, writers: LedgerWriters) -> None:
        self._stored = LedgerAccounts(database)
        self._writers = writers
        self._working_set = WorkingSet()
        self._warming_up: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Read as many accounts as there is room for, meanwhile, so that the first payments need not."""
        self._warming_up = asyncio.create_task(self._warm_up(), name="ledger-warm-up")

    async def close(self) -> None:
        """Write down what only this process knows well, so that the next one need not search for it."""
        if self._warming_up is not None:
            await end_task(self._warming_up)
        await self.write_down()

    async def write_down(self) -> None:
        """Write down what this process has changed since it last did."""
        await self.write_back(self._working_set.unwritten())

    async def exact(self, ids: set[str], session: Session) -> dict[str, LedgerAccount]:
        """Return those that exist, as the journal says."""
        return await self._stored.exact(ids, session)

    async def read(
        self,
        ids: set[str],
        uncommitted: Mapping[str, LedgerAccount],
        doubts: Doubts,
        missed: Missed,
        session: Session,
    ) -> dict[str, LedgerAccount]:
        """Return those that exist, for the caller to change; only what is unknown or in doubt is read.

        Args:
            ids: the accounts.
            uncommitted: what groups before are about to make of some, which may be changed, too.
            doubts: what is known to be out of date; those that are searched for are added.
            missed: what other processes have left of some.
            session: the group's transaction.
        """
        accounts = self._working_set.known(ids - doubts.exact) if missed.all_known else {}
        accounts |= uncommitted
        unknown = ids - accounts.keys() - doubts.exact
        if unknown:
            written = await self._stored.as_written(unknown, session)
            if missed.all_known:
                for account in written.values():
                    self._working_set.correct(account)
            accounts |= written
        for noted in missed.accounts:
            if noted.id in accounts:
                bring_up_to_date(accounts[noted.id], noted)
        lagging = {
            id_ for id_, number in doubts.taken.items() if id_ in accounts and accounts[id_].sequence < number
        }
        # Where some are out of date, somebody has posted without telling: then others will be too.
        doubts.exact |= ids if len(doubts.taken) >= _TAKEN_BEFORE_ALL_ARE_SEARCHED else lagging
        if doubts.exact:
            for id_, account in (await self._stored.exact(doubts.exact, session)).items():
                # The journal does not show yet what those before are about to commit.
                if id_ not in uncommitted or uncommitted[id_].sequence < account.sequence:
                    accounts[id_] = account
        return accounts

    async def confirm(
        self,
        doubtful: Mapping[str, int],
        uncommitted: Mapping[str, LedgerAccount],
        doubts: Doubts,
        session: Session,
    ) -> None:
        """Go on only if the accounts are still what refusals took them for.

        Of those that were searched for that is sure. Those that groups before are about to change are what
        these leave of them by the time that this group is committed.

        Raises:
            OutOfDateError: some are not; they are searched for the next time.
        """
        open_to_doubt = doubtful.keys() - doubts.exact - uncommitted.keys()
        if open_to_doubt:
            now = await self._stored.exact(open_to_doubt, session)
            changed = {id_ for id_, account in now.items() if account.sequence != doubtful[id_]}
            if changed:
                doubts.exact |= changed
                raise OutOfDateError

    def find_taken(self, account: str, number: int, doubts: Doubts) -> None:
        """Learn that somebody has given an account's next number already."""
        self._working_set.forget(account)
        doubts.taken[account] = number

    def keep(self, changed: Iterable[LedgerAccount], missed: Missed) -> list[LedgerAccount]:
        """Keep what a committed group has made of accounts, and what others had left of them before it.

        Returns those that there is no room for, to be given to `write_back`.
        """
        if not missed.all_known:
            self._working_set.forget_all()
        for noted in missed.accounts:
            self._working_set.heed(noted)
        return self._working_set.keep(changed)

    async def write_back(self, accounts: Sequence[LedgerAccount]) -> None:
        """Write accounts down; if that fails, whoever relies on them finds the next number taken."""
        try:
            await self._stored.write_back(accounts)
        except PyMongoError as error:
            _log.info("accounts not written down", reason=type(error).__name__, accounts=len(accounts))

    async def _warm_up(self) -> None:
        try:
            async for accounts in self._stored.written_in_turn(ACCOUNTS_KEPT):
                if not self._writers.alone:
                    return
                self._working_set.get_to_know(accounts)
        except PyMongoError as error:
            _log.info("accounts not read beforehand", reason=type(error).__name__)
