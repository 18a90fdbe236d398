"""Gathers commands into groups in their order of arrival.

Only what touches an account that is reserved for a while is held back, and what comes behind it on another.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from daemons.banking_api.domain.decision import Outcome
from daemons.banking_api.domain.journal import PostingCommand
from daemons.banking_api.services.succession import Batch

GROUP_LIMIT = 1024
OVERLAP_FROM = 32
"""How many must wait before a group joins running ones: each group costs round trips of its own."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A command and where its outcome is awaited."""

    command: PostingCommand
    answer: asyncio.Future[Outcome]
    batch: Batch | None = None
    atomic_size: int = 0
    """Of the first command of an atomic batch, how many it has: those behind it in the line."""


@dataclass(eq=False, slots=True)
class Group:
    """Commands that are committed together; an atomic batch is a group of its own."""

    members: list[Waiting] = field(default_factory=list)
    atomic: bool = False

    def touches(self, account: str) -> bool:
        """Whether a command of the group may change the account."""
        return any(
            account in (waiting.command.from_account, waiting.command.to_account) for waiting in self.members
        )


@dataclass(eq=False, frozen=True, slots=True)
class Reservation:
    """An account that no group may have for a while."""

    account: str


class Gathering:
    """What waits, what is held back, and which groups run."""

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()
        self._held: list[Waiting] = []
        self._running: set[Group] = set()
        self._reservations: set[Reservation] = set()
        # Accounts of reservations, and of what is held behind them.
        self._blocked: set[str] = set()
        self._held_batches: set[Batch] = set()

    def __len__(self) -> int:
        """How many commands wait for a group."""
        return len(self._waiting) + len(self._held)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not (self._waiting or self._held or self._running)

    def add(self, waiting: Waiting) -> None:
        """Let a command wait for its group."""
        self._waiting.append(waiting)

    def begin(self, *, at_once: int) -> Group | None:
        """Return the group to commit now beside so many others at most, if it is worth it.

        It runs until `end` is told.
        """
        if not self._is_worth_it(at_once):
            return None
        group = Group()
        self._fill(group)
        return group if group.members else None

    def extend(self, group: Group) -> None:
        """Let what has arrived meanwhile join a running group that has yet to be decided.

        Nothing joins it while others run: they may have come later, and what joins would overtake them.
        """
        if self._running == {group} and not group.atomic:
            self._fill(group)

    def _fill(self, group: Group) -> None:
        members = group.members
        while self._waiting and len(members) < GROUP_LIMIT and not group.atomic:
            size = self._waiting[0].atomic_size
            if size:
                if members:
                    break
                whole = [self._waiting.popleft() for _ in range(size)]
                if any(self._must_be_held(waiting) for waiting in whole):
                    self._hold(whole)
                else:
                    members += whole
                    group.atomic = True
                continue
            waiting = self._waiting.popleft()
            if self._blocked and self._must_be_held(waiting):
                self._hold([waiting])
            else:
                members.append(waiting)
        if members:
            self._running.add(group)

    def _must_be_held(self, waiting: Waiting) -> bool:
        blocked, command = self._blocked, waiting.command
        return (
            command.from_account in blocked
            or command.to_account in blocked
            or self._follows_a_held_one(waiting.batch)
        )

    def _hold(self, some: Sequence[Waiting]) -> None:
        """Whoever touches their accounts later must wait behind them, and so must batches that follow."""
        for waiting in some:
            self._held.append(waiting)
            self._blocked.update((waiting.command.from_account, waiting.command.to_account))
            if waiting.batch is not None:
                self._held_batches.add(waiting.batch)

    def end(self, group: Group) -> None:
        """Forget a group that runs no longer."""
        self._running.discard(group)

    def reserve(self, account: str) -> Reservation:
        """Let no group begin that touches the account, until `release` is told; one that runs goes on."""
        reservation = Reservation(account)
        self._reservations.add(reservation)
        self._blocked.add(account)
        return reservation

    def release(self, reservation: Reservation) -> None:
        """Free the account; what was held back comes before what arrived since."""
        self._reservations.discard(reservation)
        self._waiting.extendleft(reversed(self._held))
        self._held.clear()
        self._held_batches.clear()
        self._blocked = {reservation.account for reservation in self._reservations}

    def _follows_a_held_one(self, batch: Batch | None) -> bool:
        held = self._held_batches
        return bool(held) and batch is not None and batch.comes_behind_one_of(held)

    def _is_worth_it(self, at_once: int) -> bool:
        """A free database is used at once; a busy one for a group about as large as those that run."""
        if not self._running:
            return bool(self._waiting)
        # An atomic batch may be longer than any group that others could gather.
        sizes = [min(len(running.members), GROUP_LIMIT) for running in self._running]
        average = sum(sizes) // len(sizes)
        return len(self._running) < at_once and len(self._waiting) >= max(OVERLAP_FROM, average)
