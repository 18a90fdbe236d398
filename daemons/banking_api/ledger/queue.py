"""What waits for its group, in order of arrival, and which groups run."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from daemons.banking_api.ledger.batches import Batch
from daemons.banking_api.ledger.record import Command, Outcome

GROUP_LIMIT = 1024
OVERLAP_FROM = 32
"""How many must wait before a group joins running ones: each group costs round trips of its own."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A command and where its outcome is awaited."""

    command: Command
    answer: asyncio.Future[Outcome]
    batch: Batch | None = None
    atomic_size: int = 0
    """Of the first command of an atomic batch, how many it has: those behind it in the line."""


@dataclass(eq=False, slots=True)
class Group:
    """Commands that are committed together; an atomic batch, or an act, is a group of its own."""

    members: list[Waiting] = field(default_factory=list)
    atomic: bool = False


class GroupQueue:
    """Gathers commands into groups; there is no timer."""

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()
        self._running: set[Group] = set()

    def __len__(self) -> int:
        """How many commands wait for a group."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not (self._waiting or self._running)

    def add(self, waiting: Waiting) -> None:
        """Let a command wait for its group."""
        self._waiting.append(waiting)

    def begin(self, *, at_once: int) -> Group | None:
        """Return the group to commit now beside so many others at most, if it is worth it.

        It runs until `end` is told.
        """
        if not self._is_worth_it(at_once):
            return None
        group = self._next_group()
        self._running.add(group)
        return group

    def end(self, group: Group) -> None:
        """Forget a group that runs no longer."""
        self._running.discard(group)

    def _next_group(self) -> Group:
        waiting = self._waiting
        first = waiting[0]
        if first.atomic_size:
            return Group([waiting.popleft() for _ in range(first.atomic_size)], atomic=True)
        if first.command.act is not None:
            # What the audit or an approval refuses must refuse nothing beside it.
            return Group([waiting.popleft()])
        members: list[Waiting] = []
        while waiting and len(members) < GROUP_LIMIT:
            if waiting[0].atomic_size or waiting[0].command.act is not None:
                break
            members.append(waiting.popleft())
        return Group(members)

    def _is_worth_it(self, at_once: int) -> bool:
        """A free database is used at once; a busy one for a group about as large as those that run."""
        if not self._running:
            return bool(self._waiting)
        # An atomic batch may be longer than any group that others could gather.
        sizes = [min(len(running.members), GROUP_LIMIT) for running in self._running]
        average = sum(sizes) // len(sizes)
        return len(self._running) < at_once and len(self._waiting) >= max(OVERLAP_FROM, average)
