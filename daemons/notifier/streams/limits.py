"""How many event streams may be open."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """The streams of one process, and among them those of one caller."""

    in_all: int
    per_caller: int
