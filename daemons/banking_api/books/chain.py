"""Follows the chain of seals: what was changed, removed, added or moved after it was sealed is named.

Records go by in the order of their ids and seals in that of their numbers, which is nearly the same. A seal
is checked once every record of it must have come; so only the leaves of a few groups are kept.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple
from uuid import UUID

from daemons.banking_api.ledger.seal import GENESIS, Head, Seal, hash_of
from daemons.contracts.merkle import appended, root_of

Report = Callable[[str, str], None]
"""Receives the id of what is at fault, and the problem."""


class SignedRoot(NamedTuple):
    """What was signed of the journal at some size."""

    name: str
    size: int
    root: bytes


UNSEALED = "is in the journal and in no seal"
_NAMED = 20


class ChainCheck:
    """Checks one chain of seals against the records as they are stored."""

    def __init__(self, report: Report, signed: Sequence[SignedRoot] = (), *, start: Head = GENESIS) -> None:
        self._report = report
        self._signed: dict[int, list[SignedRoot]] = defaultdict(list)
        for root in signed:
            # What was signed before the start vouches for the start itself.
            if root.size > start.number or not start.number:
                self._signed[root.size].append(root)
        self._leaves: dict[UUID, bytes] = {}
        self._last_id = UUID(int=0)
        self.head: Head = start
        """The end of what was checked."""
        self._checked = start.number

    def add(self, record_id: UUID, leaf: bytes) -> None:
        """Take in the next record."""
        self._leaves[record_id] = leaf
        self._last_id = record_id

    def is_due(self, ids: Sequence[UUID]) -> bool:
        """Tell whether every record of a group must have come by now."""
        return max(ids, default=self._last_id) <= self._last_id

    def check(self, seal: Seal, ids: Sequence[UUID]) -> None:
        """Hold the next seal against the one before and against its records."""
        name = f"seal {seal.number}"
        before = self.head
        frontier, completed = appended(before.frontier, self._checked, seal.hash)
        self._checked += 1
        if seal.number != before.number + 1:
            self._report(name, f"follows seal {before.number}: what was between is missing")
        elif seal.previous != before.hash:
            self._report(name, "does not follow the seal before it: one of the two was changed")
        elif seal.number == self._checked and seal.nodes != b"".join(completed):
            self._report(name, "does not hold the nodes over the seals before it: one of them was changed")
        if seal.records != before.records + len(ids):
            self._report(name, f"counts {seal.records} records, there are {before.records + len(ids)}")
        if seal.hash != hash_of(seal.number, seal.previous, seal.root, seal.records, seal.at):
            self._report(name, "was changed: its hash is another")
        self._check_records(name, seal, ids)
        # Each fault is named once: what follows is held against the seal as it stands.
        self.head = Head(seal.number, seal.hash, seal.records, frontier)
        for signed in self._signed.pop(seal.number, ()):
            if signed.root != self.head.root:
                self._report(signed.name, "was signed of another journal: what it covers was rewritten")

    def _check_records(self, name: str, seal: Seal, ids: Sequence[UUID]) -> None:
        leaves = [self._leaves.pop(id_, None) for id_ in ids]
        present = [leaf for leaf in leaves if leaf is not None]
        if len(present) < len(ids):
            for id_, leaf in zip(ids, leaves, strict=True):
                if leaf is None:
                    self._report(str(id_), f"is sealed by {name} and missing")
        elif not present:
            self._report(name, "seals nothing")
        elif root_of(present) != seal.root:
            among = str(ids[0]) if len(ids) == 1 else f"one of its {len(ids)} records, {_some(ids)},"
            self._report(name, f"is not over its records as they are stored: {among} was changed")

    def end(self) -> None:
        """Name what no seal covers; nothing more comes."""
        for id_ in self._leaves:
            self._report(str(id_), UNSEALED)
        for cut_off in self._signed.values():
            for signed in cut_off:
                self._report(signed.name, f"covers {signed.size} seals, the journal has {self.head.number}")


def _some(ids: Sequence[UUID]) -> str:
    shown = ", ".join(str(id_) for id_ in ids[:_NAMED])
    return shown if len(ids) <= _NAMED else f"{shown} and so on"
