"""The progress of a long piece of work, reported by the worker and read by the waiting request."""

from dataclasses import dataclass


@dataclass(slots=True)
class Progress:
    """The present phase and how much of it is done; `total` is an estimate and may be passed."""

    phase: str = "waiting"
    done: int = 0
    total: int = 0

    def enter(self, phase: str, *, total: int) -> None:
        """Begin a phase."""
        self.phase, self.done, self.total = phase, 0, total
