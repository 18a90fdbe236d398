"""Whether the trail is still what was written: unchanged, complete, in order, not cut, and no other trail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from daemons.shared.audit.record import Head, genesis, hash_of
from daemons.shared.audit.trail import MongoAuditTrail

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

    Whoever can write to the database can rewrite the whole trail with its head; only the anchor shows that.
    """
    verdict = Verdict(genesis(trail.chain))
    if anchor is not None and anchor.count == 0 and anchor.hash != verdict.head.hash:
        verdict.blame(0, "the anchor is of another trail")
    kept: Head | None = None
    anchored = anchor is None or anchor.count == 0
    async for found in trail.snapshot():
        if found is None or isinstance(found, Head):
            kept = found
            continue
        _follow(verdict, found)
        if anchor is not None and verdict.head.count == anchor.count and not anchored:
            anchored = True
            if verdict.head.hash != anchor.hash:
                verdict.blame(anchor.count, "is another record than the one that was anchored")
    if not anchored and anchor is not None:
        verdict.blame(0, f"the trail ends before record {anchor.count}, which was anchored")
    if kept is None:
        verdict.blame(0, "the head is missing")
    elif kept.count != verdict.head.count:
        verdict.blame(0, f"the head counts {kept.count} records, the last one is {verdict.head.count}")
    elif kept.hash != verdict.head.hash:
        verdict.blame(0, "the head has another hash than the last record")
    return verdict


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
