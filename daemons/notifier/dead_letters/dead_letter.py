"""Dead letters: records that are not valid events, how many may be set aside, and their outcomes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from daemons.contracts.names import LetterStatus, ReplayResult
from daemons.shared.kafka.records import IncomingRecord

Place = tuple[str, int, int]
"""Where a record stands: topic, partition, offset."""
Identity = tuple[str, int, int, bytes]
"""What a letter is known by: its record's place and content. A topic created again has the same places."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that is no event of ours, with the reason."""

    record: IncomingRecord
    reason: str

    @property
    def place(self) -> Place:
        """Where the record stands."""
        return self.record.topic, self.record.partition, self.record.offset

    @property
    def summary(self) -> str:
        """Which record it is and what is wrong with it; nothing of its content."""
        topic, partition, offset = self.place
        return f"{topic}, partition {partition}, offset {offset}: {self.reason}"

    @property
    def identity(self) -> Identity:
        """What the letter is known by when its record comes again."""
        digest = sha256()
        for part in _parts(self.record):
            # With its length, so that no two records are alike by where one part ends; None is not empty.
            digest.update(b"-" if part is None else b"%d:%b" % (len(part), part))
        return *self.place, digest.digest()


def _parts(record: IncomingRecord) -> Iterator[bytes | None]:
    yield record.key
    yield record.value
    for name, value in sorted(record.headers.items()):
        yield name.encode(errors="surrogatepass")
        yield value


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Who replayed a letter, when, and what came of it. `reason` says why it is still undecodable."""

    by: dict[str, Any]
    at: datetime
    result: ReplayResult
    event_id: UUID | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLetter:
    """A letter as it is kept, with the last time somebody replayed it."""

    id: UUID
    letter: DeadLetter
    status: LetterStatus
    received_at: datetime
    last_replay: Replay | None


@dataclass(frozen=True, slots=True)
class Kept:
    """The outcome of a batch's letters: set aside now, or held back by the limit."""

    fresh: Sequence[DeadLetter] = ()
    held: Sequence[DeadLetter] = ()


@dataclass(frozen=True, slots=True)
class DeadLetterLimit:
    """At most so many letters within such a time, counted from the first of them (docs/adr/0015)."""

    letters: int
    window: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """How many letters were set aside lately, by all processes together, and whether more may be.

    Once closed it stays closed, however often processes restart, until somebody reopens it.
    """

    since: datetime | None = None
    kept: int = 0
    closed_at: datetime | None = None
    closed_by: str | None = None
    reopened: dict[str, Any] | None = field(default=None)

    def admit(self, letters: int, *, limit: DeadLetterLimit, now: datetime) -> tuple["Intake", int]:
        """Return how many of so many letters may be set aside, and the intake after that."""
        if self.closed_at is not None:
            return self, 0
        fresh = self.since is None or now - self.since >= limit.window
        since, kept = (now, 0) if fresh else (self.since, self.kept)
        admitted = min(letters, max(0, limit.letters - kept))
        closed_at = now if admitted < letters else None
        return replace(self, since=since, kept=kept + admitted, closed_at=closed_at), admitted
