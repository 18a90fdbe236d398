"""What this process knows of accounts from its own commits: a hint that saves reading, never a proof.

Whoever decides on what is kept here finds the account's next number taken if it is out of date.
"""

from collections.abc import Iterable
from itertools import islice

from daemons.banking_api.domain.decision import LedgerAccount
from daemons.banking_api.storage.ledger_turns import NotedAccount

ACCOUNTS_KEPT = 100_000
"""About 50 MB; what is pushed out is written down, so that it can be read again as cheaply as before."""


class WorkingSet:
    """Accounts by id, least recently used first."""

    def __init__(self, *, limit: int = ACCOUNTS_KEPT) -> None:
        self._limit = limit
        self._kept: dict[str, LedgerAccount] = {}
        self._unwritten: set[str] = set()
        # Of accounts that are not kept: they may be read as written down before that.
        self._noted: dict[str, NotedAccount] = {}

    def __len__(self) -> int:
        """How many accounts are kept."""
        return len(self._kept)

    def known(self, ids: Iterable[str]) -> dict[str, LedgerAccount]:
        """Return what is known of the accounts, for the caller to change; what is kept stays as it is."""
        kept = self._kept
        return {id_: kept[id_].copy() for id_ in ids if id_ in kept}

    def keep(self, accounts: Iterable[LedgerAccount]) -> list[LedgerAccount]:
        """Keep accounts as just committed; return those there is no room for, to be written down."""
        for account in accounts:
            self._kept.pop(account.id, None)
            self._kept[account.id] = account
            self._unwritten.add(account.id)
        excess = len(self._kept) - self._limit
        if excess <= 0:
            return []
        pushed_out = [self._kept.pop(id_) for id_ in list(islice(self._kept, excess))]
        to_be_written = [account for account in pushed_out if account.id in self._unwritten]
        self._unwritten.difference_update(account.id for account in to_be_written)
        return to_be_written

    def get_to_know(self, accounts: Iterable[LedgerAccount]) -> None:
        """Keep accounts as read, where there is room and nothing is known of them from a commit."""
        for account in accounts:
            if len(self._kept) < self._limit:
                self._kept.setdefault(account.id, account)

    def heed(self, noted: NotedAccount) -> None:
        """Remember what another process has left of an account, if what is known here is older."""
        kept = self._kept.get(noted.id)
        if kept is not None:
            bring_up_to_date(kept, noted)
            return
        self._noted.pop(noted.id, None)
        self._noted[noted.id] = noted
        if len(self._noted) > self._limit:
            del self._noted[next(iter(self._noted))]

    def correct(self, account: LedgerAccount) -> None:
        """Bring an account as written down up to date by what was noted of it since."""
        noted = self._noted.get(account.id)
        if noted is not None:
            bring_up_to_date(account, noted)

    def unwritten(self) -> list[LedgerAccount]:
        """Return what this process has changed and not written down, for the caller to do so now."""
        accounts = [self._kept[id_] for id_ in self._unwritten if id_ in self._kept]
        self._unwritten.clear()
        return accounts

    def forget(self, id_: str) -> None:
        """Keep an account no longer, because somebody has changed it."""
        self._kept.pop(id_, None)
        self._noted.pop(id_, None)

    def forget_all(self) -> None:
        """Keep nothing any longer, because others have changed nobody knows what."""
        self._kept.clear()
        self._noted.clear()
        self._unwritten.clear()


def bring_up_to_date(account: LedgerAccount, noted: NotedAccount) -> None:
    """Change an account to what was noted of it, if that is newer."""
    if account.sequence < noted.sequence:
        account.status, account.balance_minor, account.sequence = (
            noted.status,
            noted.balance_minor,
            noted.sequence,
        )
