"""Batches that follow one another: none begins before the one that it follows is settled as a whole.

So whoever pays a long list may send the next batch while the last one is at work, and the rows are still
paid in the list's order, also when something fails (docs/adr/0017).
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from uuid import UUID

from daemons.banking_api.domain.decision import Outcome
from daemons.contracts.errors import BankError, Category, ConflictError

KNOWN_LIMIT = 1024
"""How many batches are remembered: under way, just settled, or expected because another follows them."""
WAITING_LIMIT = 8
"""How many batches of one user may wait for others."""
ARRIVAL_SECONDS = 0.5
"""How long a batch may arrive after the one that follows it: they come over two connections."""
LONGEST_WAIT_SECONDS = 20.0
"""Shorter than a client waits for its answer."""

_UNSETTLED = frozenset({Category.TRANSIENT, Category.OUTCOME_UNKNOWN, Category.INTERNAL, Category.CONFLICT})


class _Place:
    """One batch as those behind it see it."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def end(self, *, settled: bool) -> None:
        if not self.settled.done():
            self.settled.set_result(settled)


class Turn:
    """When a batch may begin, and where it tells that it is settled."""

    def __init__(self, place: _Place, behind: _Place | None, waiting: Counter[UUID], user_id: UUID) -> None:
        self._place = place
        self._behind = behind
        self._waiting = waiting
        self._user_id = user_id

    @property
    def has_come(self) -> bool:
        """Whether it may begin without waiting."""
        settled = None if self._behind is None else self._behind.settled
        return settled is None or (settled.done() and settled.result())

    async def come(self) -> None:
        """Wait until the batch before is settled.

        Raises:
            ConflictError: it is not known here, takes too long, or has ended without being settled.
        """
        if self._behind is None or self.has_come:
            return
        if self._behind is self._place or self._waiting[self._user_id] >= WAITING_LIMIT:
            raise _not_settled()
        self._waiting[self._user_id] += 1
        try:
            async with asyncio.timeout(ARRIVAL_SECONDS):
                await self._behind.arrived.wait()
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                settled = await asyncio.shield(self._behind.settled)
        except TimeoutError:
            settled = False
        finally:
            self._waiting[self._user_id] -= 1
            if not self._waiting[self._user_id]:
                del self._waiting[self._user_id]
        if not settled:
            raise _not_settled()

    def settle(self, outcomes: Iterable[Outcome | BankError | None]) -> None:
        """Tell what became of the rows; those that could not even be begun are settled."""
        settled = all(
            not isinstance(found, BankError) or found.category not in _UNSETTLED for found in outcomes
        )
        self._place.end(settled=settled)


class Succession:
    """The batches that this process knows, by user and the key of the last row."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[UUID, str], _Place] = OrderedDict()
        self._waiting: Counter[UUID] = Counter()

    @contextmanager
    def turn(self, user_id: UUID, *, last_key: str, after: str | None) -> Iterator[Turn]:
        """Give a batch its turn; `after` is the last key of the batch before, which may come a little later.

        A batch that is sent again is another try: those behind it wait for that.
        """
        behind = None if after is None else self._expect((user_id, after))
        place = self._arrive((user_id, last_key))
        try:
            yield Turn(place, behind, self._waiting, user_id)
        finally:
            place.end(settled=False)

    def _expect(self, name: tuple[UUID, str]) -> _Place:
        return self._known.get(name) or self._remember(name)

    def _arrive(self, name: tuple[UUID, str]) -> _Place:
        place = self._known.get(name)
        if place is None or place.arrived.is_set():
            place = self._remember(name)
        place.arrived.set()
        return place

    def _remember(self, name: tuple[UUID, str]) -> _Place:
        place = self._known[name] = _Place()
        self._known.move_to_end(name)
        if len(self._known) > KNOWN_LIMIT:
            self._known.popitem(last=False)
        return place


def _not_settled() -> ConflictError:
    return ConflictError(
        "batch_before_not_settled",
        "The batch that this one follows is not known to be settled; nothing was done. Wait for its answer, "
        "then send this one without `after`.",
    )
