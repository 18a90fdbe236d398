"""What this process knows of accounts from its own commits: a hint that saves reading, never a proof.

Whoever decides on what is kept here finds the account's next number taken if it is out of date. Accounts that
other processes write to as well are contested: for a while they are not kept.
"""

import time
from collections.abc import Callable, Iterable
from itertools import islice, takewhile

from daemons.banking_api.domain.decision import LedgerAccount

ACCOUNTS_KEPT = 100_000
"""About 50 MB; what is pushed out is written down, so that it can be read again as cheaply as before."""
CONTESTED_SECONDS = 30.0
"""A number taken by another process costs a group a second try, so one in half a minute is nothing."""


class WorkingSet:
    """Accounts by id, least recently used first."""

    def __init__(
        self, *, limit: int = ACCOUNTS_KEPT, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._monotonic = monotonic
        self._kept: dict[str, LedgerAccount] = {}
        self._contested: dict[str, float] = {}

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

    def empty(self) -> list[LedgerAccount]:
        """Keep nothing any longer; return all that was kept."""
        kept, self._kept = self._kept, {}
        return list(kept.values())

    def contest(self, ids: Iterable[str]) -> None:
        """Note that another process writes to these accounts."""
        now = self._monotonic()
        until = now + CONTESTED_SECONDS
        for id_ in ids:
            self._kept.pop(id_, None)
            # Put last: they stand in the order in which they end.
            self._contested.pop(id_, None)
            self._contested[id_] = until
        # Those who end early for want of room cost a second try.
        excess = max(0, len(self._contested) - self._limit)
        over = list(islice(self._contested, excess))
        over += takewhile(lambda id_: self._contested[id_] <= now, islice(self._contested, excess, None))
        for id_ in over:
            del self._contested[id_]

    def contested(self, ids: Iterable[str]) -> set[str]:
        """Return which of the accounts others write to as well."""
        if not self._contested:
            return set()
        now = self._monotonic()
        found = {id_ for id_ in ids if id_ in self._contested}
        over = {id_ for id_ in found if self._contested[id_] <= now}
        for id_ in over:
            del self._contested[id_]
        return found - over
