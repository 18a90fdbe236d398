"""Groups are decided one after another and committed in that order; meanwhile they are written side by side.

A group is decided on what those before it are about to commit, so it may be committed only after they are. If
one of them is undone, so is everything behind it, and is decided again: nothing ever rests on what was not
committed (docs/adr/0019).
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Optional

from daemons.banking_api.ledger.account import Account
from daemons.banking_api.ledger.seal import Head


class UndoneError(Exception):
    """The group was decided on another that has been undone since; nothing of it may be committed."""


@dataclass(eq=False, slots=True)
class _Standing:
    """How far a group has come, as those behind it see it."""

    before: Optional["_Standing"]
    attempt: int = 0
    decided: bool = False
    changed: Mapping[str, Account] = field(default_factory=dict)
    head: Head | None = None
    committed: bool = False
    given_up: bool = False
    left: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Place:
    """One group's place behind those that came before it.

    Each attempt at the group goes through `begin`, `until_those_before_are_decided`, `decide`,
    `until_those_before_are_committed` and `commit`. `leave` ends the place, whatever became of the group.

    Only the next one before is asked: it was decided after all before it, and is committed after them. If one
    of those is undone and the next one has yet to find out, what is decided on it then is undone with it.
    """

    def __init__(self, behind: "Place | None" = None) -> None:
        self._own: _Standing = _Standing(None if behind is None else behind._own)  # noqa: SLF001 - of the same class
        self._rests_on = 0
        """The attempt of the one before that this one was decided on."""

    def begin(self) -> None:
        """Try once more: what was decided before is undone."""
        self._own.attempt += 1
        self._own.decided = False
        self._own.changed = {}
        self._own.head = None
        self._own.news.set()

    @property
    def is_first(self) -> bool:
        """Whether there is nobody to wait for."""
        return self._next_before() is None

    async def until_those_before_are_decided(self) -> None:
        """Wait until it is known what those before are about to commit."""
        while (before := self._next_before()) is not None and not before.decided:
            await _hear(before)
        if before is not None:
            self._rests_on = before.attempt

    async def until_nobody_is_before(self) -> None:
        """Wait until all those before are committed or given up."""
        while (before := self._next_before()) is not None and not before.committed:
            await _hear(before)
        if before is not None:
            self._rests_on = before.attempt

    def uncommitted(self, ids: set[str]) -> dict[str, Account]:
        """Return what those before are about to make of accounts, for the caller to change."""
        found: dict[str, Account] = {}
        for standing in self._uncommitted_before():
            for id_ in standing.changed.keys() & ids - found.keys():
                found[id_] = standing.changed[id_].copy()
        return found

    def uncommitted_head(self) -> Head | None:
        """Return where the chain ends once those before are committed; None if that is known elsewhere."""
        for standing in self._uncommitted_before():
            if standing.head is not None:
                return standing.head
        return None

    def decide(self, changed: Mapping[str, Account], head: Head | None) -> None:
        """Tell what the group is going to make of accounts and chain, for nobody to change any more."""
        if not self._own.given_up:
            self._own.decided = True
            self._own.changed = changed
            self._own.head = head
            self._own.news.set()

    async def until_those_before_are_committed(self) -> None:
        """Wait until everything that this attempt was decided on is committed.

        Raises:
            UndoneError: it never will be.
        """
        before = self._own.before
        if before is None:
            return
        while before.attempt == self._rests_on and not (before.committed or before.left):
            await _hear(before)
        if before.attempt != self._rests_on or not before.committed:
            raise UndoneError

    def commit(self) -> None:
        """Tell that the group is committed and known to be; what it has changed is known elsewhere now."""
        if not self._own.given_up:
            self._own.committed = True
            self._own.before = None
            self._own.news.set()

    def give_up(self) -> None:
        """Tell that the group will not be committed as it is; those behind wait until the place is left.

        It may still be stored in parts, which nobody relies on: `decide` and `commit` tell nothing any more.
        """
        self._own.given_up = True
        self.begin()

    def leave(self) -> None:
        """Let those behind come forward."""
        self._next_before()
        self._own.left = True
        self._own.news.set()

    def _next_before(self) -> _Standing | None:
        """Return the next one before that is still there."""
        own = self._own
        while own.before is not None and own.before.left:
            own.before = own.before.before
        return own.before

    def _uncommitted_before(self) -> Iterator[_Standing]:
        """Nearest first. What is before a committed one is committed, too."""
        standing = self._own.before
        while standing is not None and not standing.committed:
            yield standing
            standing = standing.before


class CommitOrder:
    """The groups of one process in the order in which they came."""

    def __init__(self) -> None:
        self._last: Place | None = None

    def join(self) -> Place:
        """Take the place behind all others."""
        self._last = Place(self._last)
        return self._last


async def _hear(standing: _Standing) -> None:
    standing.news.clear()
    await standing.news.wait()
