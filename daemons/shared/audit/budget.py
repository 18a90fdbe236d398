"""How much of a flood is recorded: a chain cannot be shortened, so nobody may make it grow at will."""

from collections import deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from daemons.shared.clock import Clock

WINDOW = timedelta(minutes=1)


class RecordBudget:
    """Of like events the first in a minute is recorded, and of all of them so many a minute.

    What is left out is counted, and the count goes into the next record. It is kept by each process for
    itself: the logs have every event.
    """

    def __init__(self, *, per_minute: int, clock: Clock) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._recorded: deque[tuple[datetime, Hashable]] = deque()
        self._left_out = 0

    @contextmanager
    def spend(self, kind: Hashable) -> Iterator[int | None]:
        """Yield how many were left out since the last record, for the record that is written inside.

        None means that this one is left out as well. If the record cannot be written, nothing is spent and
        the refusal is counted as left out.
        """
        now = self._clock()
        while self._recorded and self._recorded[0][0] <= now - WINDOW:
            self._recorded.popleft()
        if len(self._recorded) >= self._per_minute or any(kind == one for _, one in self._recorded):
            self._left_out += 1
            yield None
            return
        spent = (now, kind)
        self._recorded.append(spent)
        left_out, self._left_out = self._left_out, 0
        try:
            yield left_out
        except BaseException:
            self._left_out += left_out + 1
            if spent in self._recorded:
                self._recorded.remove(spent)
            raise
