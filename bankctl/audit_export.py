"""An export of the audit trails, verified on this machine: the bank is not asked and need not be believed."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bankctl.anchors import parse_anchors
from daemons.contracts.names import Daemon, Trail

CHAINS: dict[str, Daemon] = {
    Trail.LEDGER: Daemon.BANKING_API,
    Trail.USERS: Daemon.USER_API,
    Trail.EVENTS: Daemon.NOTIFIER,
}
"""Each trail, and the chain whose name its first record follows: that of its daemon."""

_FAULTS_SHOWN = 50


@dataclass
class _Chain:
    """One trail as far as it was read."""

    count: int
    hash: str
    faults: list[dict[str, Any]] = field(default_factory=list)
    fault_count: int = 0

    def blame(self, seq: int, problem: str) -> None:
        self.fault_count += 1
        if len(self.faults) < _FAULTS_SHOWN:
            self.faults.append({"seq": seq, "problem": problem})

    def follow(self, record: Mapping[str, Any]) -> None:
        """Judge a record as the successor of those before it."""
        seq, stated = record.get("seq"), record.get("hash")
        if (
            isinstance(seq, bool)
            or not isinstance(seq, int)
            or seq <= self.count
            or not isinstance(stated, str)
        ):
            self.blame(self.count + 1, "is in the trail but is not one of its records")
            return
        if seq > self.count + 1:
            first, last = self.count + 1, seq - 1
            missing = f"record {first} is" if first == last else f"records {first} to {last} are"
            self.blame(first, f"{missing} missing")
        elif record.get("previous_hash") != self.hash:
            self.blame(seq, "does not follow the record before it")
        if _hash_of(record) != stated:
            self.blame(seq, "was changed: its hash is not that of its content")
        self.count, self.hash = seq, stated

    def end(self, head: Mapping[str, Any] | None) -> None:
        """Compare the end with what the last line says of it."""
        if head is None:
            self.blame(0, "the last line does not give the end of the trail: the file was truncated")
        elif head["count"] != self.count:
            self.blame(0, f"the last line counts {head['count']} records, the last one is {self.count}")
        elif head["hash"] != self.hash:
            self.blame(0, "the last line's hash is not that of the last record")


def verify_export(lines: Iterable[str]) -> list[dict[str, Any]]:
    """Recompute every hash of an export; returns a verdict on each trail, like the bank's own proof.

    Raises:
        ValueError: it is not an export.
    """
    chains: dict[str, _Chain] = {}
    heads: Mapping[str, Any] = {}
    for number, line in enumerate(lines, 1):
        document = json.loads(line)
        trail = document.pop("trail", None) if isinstance(document, dict) else None
        if trail in CHAINS:
            chains.setdefault(trail, _Chain(0, _genesis(trail))).follow(document)
        elif isinstance(document, dict) and "heads" in document:
            heads = parse_anchors(line)
        else:
            raise ValueError(f"line {number} is not a record of a trail")
    for trail in heads:
        chains.setdefault(trail, _Chain(0, _genesis(trail)))
    if not chains:
        raise ValueError("it is empty")
    return [_verdict(trail, chain, heads.get(trail)) for trail, chain in chains.items()]


def _verdict(trail: str, chain: _Chain, head: Mapping[str, Any] | None) -> dict[str, Any]:
    chain.end(head)
    return {
        "trail": trail,
        "holds": not chain.fault_count,
        "head": {"count": chain.count, "hash": chain.hash},
        "anchored": False,
        "fault_count": chain.fault_count,
        "faults": chain.faults,
    }


def _genesis(trail: str) -> str:
    chain = CHAINS.get(trail)
    if chain is None:
        raise ValueError(f"there is no trail {trail}")
    return hashlib.sha256(f"bankctl audit trail of {chain}".encode()).hexdigest()


def _hash_of(record: Mapping[str, Any]) -> str | None:
    """SHA-256 over the canonical JSON of the record without its hash (docs/adr/0009); None if it has none."""
    rest = {name: value for name, value in record.items() if name != "hash"}
    try:
        text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()
    except ValueError:
        return None
