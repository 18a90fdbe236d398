"""What a proof finds wrong: all of it is counted, the first ones are named."""

from dataclasses import dataclass, field

NAMED = 100


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A record, account or document that is not what it must be, and how."""

    id: str
    problem: str


@dataclass(slots=True)
class Findings:
    """What was found."""

    mismatch_count: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)

    def report(self, id_: str, problem: str) -> None:
        """Count a contradiction, and keep the first ones to show."""
        self.mismatch_count += 1
        if len(self.mismatches) < NAMED:
            self.mismatches.append(Mismatch(id_, problem))
