"""Numbers that came out of rounds, and what may be said of them."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Round:
    """One stretch of work: how much was done in how long, and how long each single piece took."""

    done: int
    seconds: float
    latencies_seconds: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Pieces a second."""
        return self.done / self.seconds


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several rounds, with the lowest and the highest of them."""

    median: float
    low: float
    high: float


def spread_of(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def paired_ratio(measured: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Divide round by round: each measured round by the baseline round beside it, so that noise cancels."""
    return spread_of([one / other for one, other in zip(measured, baseline, strict=True)])


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed."""
    ordered = sorted(values)
    # Rounded first: 0.99 * 100 is a little more than 99.
    return ordered[max(0, math.ceil(round(share * len(ordered), 6)) - 1)]


def latencies_of(rounds: Sequence[Round]) -> list[float]:
    return [seconds for one in rounds for seconds in one.latencies_seconds]
