"""Whether the trail is still what was written: unchanged, complete, in order, not cut, and no other trail.

And whether the documents that change with a record only are as their last record left them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daemons.shared.audit.guarded import Guarded
from daemons.shared.audit.record import Head, genesis, hash_of
from daemons.shared.audit.trail import GuardedDocument, MongoAuditTrail

FAULTS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and with which record; 0 is the trail as a whole."""

    seq: int
    problem: str


@dataclass(slots=True)
class Verdict:
    """What a verification found. `head` is what the records lead to, an anchor for later ones."""

    head: Head
    faults: list[Fault] = field(default_factory=list)
    fault_count: int = 0

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return self.fault_count == 0

    def blame(self, seq: int, problem: str) -> None:
        """Note a fault; beyond the first ones they are only counted."""
        self.fault_count += 1
        if len(self.faults) < FAULTS_SHOWN:
            self.faults.append(Fault(seq, problem))


async def verify_trail(trail: MongoAuditTrail, *, anchor: Head | None = None) -> Verdict:
    """Recompute every hash and compare the end with the stored head, and with an anchor kept elsewhere.

    Who can write to the database can rewrite the whole trail with its head; only the anchor shows that.
    """
    verdict = Verdict(genesis(trail.chain))
    if anchor is not None and anchor.count == 0 and anchor.hash != verdict.head.hash:
        verdict.blame(0, "the anchor is of another trail")
    documents = _Documents(trail.guarded)
    kept: Head | None = None
    anchored = anchor is None or anchor.count == 0
    async for found in trail.snapshot():
        if found is None or isinstance(found, Head):
            kept = found
            continue
        if isinstance(found, GuardedDocument):
            documents.check(found)
            continue
        _follow(verdict, found)
        documents.follow(verdict.head.count, found.get("documents"))
        if anchor is not None and verdict.head.count == anchor.count and not anchored:
            anchored = True
            if verdict.head.hash != anchor.hash:
                verdict.blame(anchor.count, "is another record than the one that was anchored")
    if not anchored and anchor is not None:
        verdict.blame(0, f"the trail ends before record {anchor.count}, which was anchored")
    _check_head(verdict, kept)
    verdict.faults += documents.end()[: FAULTS_SHOWN - len(verdict.faults)]
    verdict.fault_count += documents.fault_count
    return verdict


def _check_head(verdict: Verdict, kept: Head | None) -> None:
    if kept is None:
        verdict.blame(0, "the head is missing")
    elif kept.count != verdict.head.count:
        verdict.blame(0, f"the head counts {kept.count} records, the last one is {verdict.head.count}")
    elif kept.hash != verdict.head.hash:
        verdict.blame(0, "the head has another hash than the last record")


class _Documents:
    """What the records say of guarded documents: the last digest of each, by whichever record."""

    def __init__(self, guarded: Sequence[Guarded]) -> None:
        self.fault_count = 0
        self._faults: list[Fault] = []
        self._may_go = tuple(f"{kind.kind} " for kind in guarded if kind.may_go)
        self._last: dict[str, tuple[int, str | None]] = {}

    def follow(self, seq: int, changes: Any) -> None:
        """Take in what the next record changed; what it found must be what the last one left."""
        if not isinstance(changes, dict):
            return
        for name, change in changes.items():
            if not isinstance(change, list) or len(change) != 2:  # noqa: PLR2004 - before and after
                continue
            number, left = self._last.get(name, (0, None))
            if change[0] != left and not (change[0] is None and name.startswith(self._may_go)):
                self._blame(seq, f"found {name} otherwise than {_record(number)} left it")
            self._last[name] = seq, change[1]

    def check(self, document: GuardedDocument) -> None:
        """Compare a stored document with the last record about it."""
        number, left = self._last.pop(document.name, (0, None))
        if left is None:
            told = "no record tells of it" if not number else f"{_record(number)} removed it"
            self._blame(number, f"{document.name} is there, and {told}")
        elif document.digest != left:
            self._blame(number, f"{document.name} is not as {_record(number)} left it")

    def end(self) -> list[Fault]:
        """Return what was found, what is missing included; no more documents come."""
        for name, (number, left) in self._last.items():
            if left is not None and not name.startswith(self._may_go):
                self._blame(number, f"{name} is missing, and {_record(number)} left it there")
        return self._faults

    def _blame(self, seq: int, problem: str) -> None:
        self.fault_count += 1
        if len(self._faults) < FAULTS_SHOWN:
            self._faults.append(Fault(seq, problem))


def _record(number: int) -> str:
    return f"record {number}" if number else "nobody"


def _follow(verdict: Verdict, record: Mapping[str, Any]) -> None:
    """Judge one record as the successor of those before it."""
    seq, stated = record.get("seq"), record.get("hash")
    expected = verdict.head.count + 1
    if isinstance(seq, bool) or not isinstance(seq, int) or seq < expected or not isinstance(stated, str):
        verdict.blame(expected, "is in the trail but is not one of its records")
        return
    if seq > expected:
        missing = f"record {expected} is" if seq == expected + 1 else f"records {expected} to {seq - 1} are"
        verdict.blame(expected, f"{missing} missing")
    elif record.get("previous_hash") != verdict.head.hash:
        verdict.blame(seq, "does not follow the record before it")
    try:
        unchanged = hash_of(record) == stated
    except (TypeError, ValueError):
        unchanged = False
    if not unchanged:
        verdict.blame(seq, "was changed: its hash is not that of its content")
    verdict.head = Head(seq, stated)
