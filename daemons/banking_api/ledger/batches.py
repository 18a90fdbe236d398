"""Batches that follow one another: no row of one is posted unless all of the one before are settled.

So the sender of a long list may send the next batch while the last one is at work, and the rows are still
paid in the list's order, also when something fails (docs/adr/0017).
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Optional
from uuid import UUID

from daemons.contracts.errors import BankError, Category, ConflictError
from daemons.contracts.names import Code

KNOWN_LIMIT = 1024
"""How many batches are remembered: under way, just settled, or expected because another follows them."""
WAITING_LIMIT = 8
"""How many batches of one user may wait for others to begin."""
ARRIVAL_SECONDS = 0.5
"""How long a batch may arrive after the one that follows it: they come over two connections."""
LONGEST_WAIT_SECONDS = 20.0
"""For the one before to begin: shorter than a client waits for its answer."""

_UNSETTLED = frozenset({Category.TRANSIENT, Category.OUTCOME_UNKNOWN, Category.INTERNAL, Category.CONFLICT})


@dataclass(eq=False, slots=True)
class Batch:
    """Commands that were ordered together, as those who post them see it."""

    follows: Optional["Batch"] = None
    unsettled: bool = False
    """Whether one of them has ended without being settled."""
    waiting: int = 0
    """How many of them have no outcome yet."""
    complete: bool = False
    """Whether no more will come."""

    def join(self) -> None:
        """Count one more command that waits for its outcome."""
        self.waiting += 1

    def end(self, error: BankError | None) -> None:
        """Note how a command that waited has ended."""
        self.waiting -= 1
        if error is not None:
            self.note(error)
        self._let_go()

    def note(self, error: BankError) -> None:
        """Note an error; one of a business rule settles its command."""
        if error.category in _UNSETTLED:
            self.unsettled = True

    def close(self, *, whole: bool) -> None:
        """Tell that no more commands will come, and whether all that were to come have."""
        self.complete = True
        if not whole:
            self.unsettled = True
        self._let_go()

    @property
    def must_not_begin(self) -> bool:
        """Whether one before is not settled as a whole, and so nothing of this one may be posted."""
        before = self._before()
        return before is not None and (before.unsettled or before.must_not_begin)

    def comes_behind_one_of(self, batches: Collection["Batch"]) -> bool:
        """Whether it follows one of them, be it with others in between."""
        before = self._before()
        return before is not None and (before in batches or before.comes_behind_one_of(batches))

    @property
    def _is_over(self) -> bool:
        return self.complete and not self.waiting

    def _before(self) -> Optional["Batch"]:
        """Return the next one before that is not settled, or not yet."""
        while self.follows is not None and self.follows._is_over and not self.follows.unsettled:  # noqa: SLF001
            self.follows = self.follows.follows
        return self.follows

    def _let_go(self) -> None:
        """One that follows an unsettled one asks for no other; so a long list is not kept for ever."""
        if self._is_over and (self.unsettled or self.must_not_begin):
            self.unsettled, self.follows = True, None


@dataclass(eq=False, slots=True)
class _Known:
    """A batch as those that follow it find it."""

    batch: Batch = field(default_factory=Batch)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """All of it waits to be posted, or it never will."""


class Turn:
    """When a batch may begin, and where it tells that it has begun."""

    def __init__(self, own: _Known, behind: _Known | None, waiting: Counter[UUID], user_id: UUID) -> None:
        self._own = own
        self._behind = behind
        self._waiting = waiting
        self._user_id = user_id

    @property
    def batch(self) -> Batch:
        """What its commands belong to."""
        return self._own.batch

    def note(self, error: BankError) -> None:
        """Note why a command of the batch could not wait to be decided."""
        self._own.batch.note(error)

    @property
    def has_come(self) -> bool:
        """Whether it may begin without waiting: what it follows waits to be posted, or is."""
        return self._behind is None or (self._behind.begun.is_set() and not self._behind.batch.unsettled)

    async def come(self) -> None:
        """Wait until the batch may begin.

        Raises:
            ConflictError: the one before is not known here, takes too long, or has ended unsettled.
        """
        if self._behind is None or self.has_come:
            return
        if self._behind is self._own or self._waiting[self._user_id] >= WAITING_LIMIT:
            raise before_not_settled()
        self._waiting[self._user_id] += 1
        try:
            async with asyncio.timeout(ARRIVAL_SECONDS):
                await self._behind.arrived.wait()
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                await self._behind.begun.wait()
        except TimeoutError:
            raise before_not_settled() from None
        finally:
            self._waiting[self._user_id] -= 1
            if not self._waiting[self._user_id]:
                del self._waiting[self._user_id]
        if not self.has_come:
            raise before_not_settled()

    def begun(self) -> None:
        """Tell that every row waits to be posted, so that those of the next batch come behind them."""
        self._own.begun.set()

    @staticmethod
    def check(outcomes: Iterable[object]) -> None:
        """Look at what became of the rows; None stands for those that could not be begun.

        Raises:
            ConflictError: the batch before was not settled, and so nothing of this one was done.
        """
        known = [outcome for outcome in outcomes if outcome is not None]
        refusal = before_not_settled()
        if known and all(isinstance(one, BankError) and one.code == refusal.code for one in known):
            raise refusal


class Batches:
    """The batches that this process knows, by user and the key of the last row."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[UUID, str], _Known] = OrderedDict()
        self._waiting: Counter[UUID] = Counter()

    @contextmanager
    def turn(self, user_id: UUID, *, last_key: str, after: str | None) -> Iterator[Turn]:
        """Give a batch its turn; `after` is the last key of the batch before, which may come a little later.

        A batch that is sent again is another try: those behind it wait for that.
        """
        behind = None if after is None else self._expect((user_id, after))
        own = self._arrive((user_id, last_key))
        own.batch.follows = None if behind is None else behind.batch
        try:
            yield Turn(own, behind, self._waiting, user_id)
        finally:
            own.batch.close(whole=own.begun.is_set())
            own.begun.set()

    def _expect(self, name: tuple[UUID, str]) -> _Known:
        return self._known.get(name) or self._remember(name)

    def _arrive(self, name: tuple[UUID, str]) -> _Known:
        known = self._known.get(name)
        if known is None or known.arrived.is_set():
            known = self._remember(name)
        known.arrived.set()
        return known

    def _remember(self, name: tuple[UUID, str]) -> _Known:
        known = self._known[name] = _Known()
        self._known.move_to_end(name)
        if len(self._known) > KNOWN_LIMIT:
            self._known.popitem(last=False)
        return known


def before_not_settled() -> ConflictError:
    """The error for a batch, and each command of it, behind one that is not settled."""
    return ConflictError(
        Code.BATCH_BEFORE_NOT_SETTLED,
        "The batch that this one follows is not known to be settled; nothing was done. Wait for its answer, "
        "then send this one without `after`.",
    )
