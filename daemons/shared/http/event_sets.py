"""How a daemon tells which events it has, so that two can be compared (daemons/contracts/digest.py)."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from daemons.contracts.digest import PARTS, EventSetDigest
from daemons.contracts.vocabulary import PART_DIGITS, PARTS_NAMED
from daemons.contracts.wire import UuidText, WireModel, format_instant
from daemons.shared.findings import Findings

_INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z$"
_PART = "([01]?[0-9]{1,2}|2[0-4][0-9]|25[0-5])"


class EventSetQuery(WireModel):
    """`?since=&until=&parts=`: events of these times, both included, and the parts of which each is named."""

    since: Annotated[str, Field(pattern=_INSTANT)] | None = None
    until: Annotated[str, Field(pattern=_INSTANT)] | None = None
    parts: Annotated[str, Field(pattern=f"^{_PART}(,{_PART}){{0,{PARTS_NAMED - 1}}}$")] | None = None

    def digest(self) -> EventSetDigest:
        """Return an empty digest that names what is asked for."""
        return EventSetDigest(parts_named=[int(part) for part in (self.parts or "").split(",") if part])

    def covers(self, occurred_at: datetime) -> bool:
        """Tell whether an event of that time is asked for."""
        if self.since is None and self.until is None:
            return True
        text = format_instant(occurred_at)
        return (self.since is None or self.since <= text) and (self.until is None or text <= self.until)

    def reaches(self, occurred_at: datetime) -> bool:
        """Tell whether an event of that time is as new as the newest asked for, or newer."""
        return self.until is not None and format_instant(occurred_at) >= self.until


class NamedEventView(WireModel):
    """One event's own digest."""

    id: UuidText
    digest: str


class EventSetView(WireModel):
    """Count and order-independent digest of a set of events, in all and for each part of their ids."""

    count: int
    digest: str
    parts: Annotated[str, Field(min_length=PART_DIGITS * PARTS, max_length=PART_DIGITS * PARTS)]
    named: list[NamedEventView]

    @classmethod
    def of(cls, events: EventSetDigest) -> "EventSetView":
        """Show a set."""
        return cls(
            count=events.count,
            digest=events.hexdigest(),
            parts=events.parts(),
            named=[NamedEventView(id=str(id_), digest=digest) for id_, digest in events.named.items()],
        )


class MismatchView(WireModel):
    """What is not as it must be."""

    id: str
    problem: str


def mismatch_views(findings: Findings) -> list[MismatchView]:
    """Show what was found."""
    return [MismatchView(id=found.id, problem=found.problem) for found in findings.mismatches]
