"""What fault runs come to: faults injected, operations in each outcome."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """Operations of one run by what they were told; `settled_later` is a part of the others."""

    operations: int = 0
    completed: int = 0
    failed: int = 0
    settled_later: int = 0
    drained_seconds: float = 0.0

    def add(self, other: "Tally") -> None:
        self.operations += other.operations
        self.completed += other.completed
        self.failed += other.failed
        self.settled_later += other.settled_later
        self.drained_seconds = max(self.drained_seconds, other.drained_seconds)


@dataclass
class Tallies:
    """A table with a row for each kind of fault. What is in it has passed every check."""

    rows: dict[str, tuple[int, Tally]] = field(default_factory=dict)

    def add(self, fault: str, times: int, tally: Tally) -> None:
        before, sums = self.rows.setdefault(fault, (0, Tally()))
        sums.add(tally)
        self.rows[fault] = (before + times, sums)

    def lines(self) -> list[str]:
        """The table in Markdown."""
        head = (
            "| fault | injected | operations | completed | failed | of these settled by a retry | drained |"
        )
        body = [
            f"| {fault} | {times} | {tally.operations} | {tally.completed} | {tally.failed} "
            f"| {tally.settled_later} | {tally.drained_seconds:.1f} s |"
            for fault, (times, tally) in self.rows.items()
        ]
        return [head, "|---|---:|---:|---:|---:|---:|---:|", *body]
