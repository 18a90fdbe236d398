"""One line of the table: a figure, what it is to reach, and what it was made of."""

from dataclasses import asdict, dataclass, field
from typing import Any

from tests.bench.samples import Spread

TIMES = "x"
"""The unit of a ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a figure is to reach."""

    limit: float
    at_least: bool

    def holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:g}"


def at_least(limit: float) -> Bound:
    return Bound(limit=limit, at_least=True)


def at_most(limit: float) -> Bound:
    return Bound(limit=limit, at_least=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A measured figure; `made_of` says in words what stands behind it, `data` the same for machines."""

    row: str
    title: str
    value: Spread
    unit: str
    bound: Bound | None
    made_of: str
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Whether the bound is reached; figures without one only inform."""
        if self.bound is None:
            return "informs"
        return "reached" if self.bound.holds(self.value.median) else "SHORT"

    def document(self) -> dict[str, Any]:
        """The figure for JSON."""
        return {**asdict(self), "verdict": self.verdict}
