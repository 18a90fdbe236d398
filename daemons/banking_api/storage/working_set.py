"""What this process knows of accounts from its own commits: a hint that saves reading, never a proof.

Whoever decides on what is kept here finds the account's next number taken if it is out of date.
"""

from collections.abc import Iterable
from itertools import islice

from daemons.banking_api.domain.decision import LedgerAccount

ACCOUNTS_KEPT = 100_000
"""About 50 MB; what is pushed out is written down, so that it can be read again as cheaply as before."""


class WorkingSet:
    """Accounts by id, least recently used first."""

    def __init__(self, *, limit: int = ACCOUNTS_KEPT) -> None:
        self._limit = limit
        self._kept: dict[str, LedgerAccount] = {}

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
        excess = len(self._kept) - self._limit
        if excess <= 0:
            return []
        pushed_out = list(islice(self._kept, excess))
        return [self._kept.pop(id_) for id_ in pushed_out]

    def get_to_know(self, accounts: Iterable[LedgerAccount]) -> None:
        """Keep accounts as read, where there is room and nothing is known of them from a commit."""
        for account in accounts:
            if len(self._kept) < self._limit:
                self._kept.setdefault(account.id, account)

    def empty(self) -> list[LedgerAccount]:
        """Keep nothing any longer; return all that was kept."""
        kept, self._kept = self._kept, {}
        return list(kept.values())

    def forget(self, id_: str) -> None:
        """Keep an account no longer, because somebody has changed it."""
        self._kept.pop(id_, None)
