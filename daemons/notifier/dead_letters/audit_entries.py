"""Audit records of dead letters, for the transaction of the act itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from daemons.contracts.names import ReplayResult
from daemons.contracts.wire import format_instant
from daemons.notifier.dead_letters.dead_letter import Intake, Replay
from daemons.shared.audit.record import Actor, AuditEntry


@dataclass(frozen=True, slots=True)
class ReplayTarget:
    """What somebody asked to replay."""

    kind: str
    id: str

    @classmethod
    def letter(cls, letter_id: UUID) -> "ReplayTarget":
        """One letter."""
        return cls("dead_letter", str(letter_id))

    @classmethod
    def all_of(cls, topic: str | None) -> "ReplayTarget":
        """The open letters of a topic, or of all."""
        return cls("dead_letters", topic or "all topics")


def replay_entry(
    by: Actor, target: ReplayTarget, replays: Mapping[UUID, Replay], *, at: datetime
) -> AuditEntry:
    """Return the audit record of one request's replays: every letter's id, under its result.

    One record covers up to two hundred letters (docs/adr/0015); the letter stores the resulting event.
    """
    letters: dict[str, list[str]] = {result.value: [] for result in ReplayResult}
    for letter_id in sorted(replays):
        letters[replays[letter_id].result.value].append(str(letter_id))
    return AuditEntry(
        at=at,
        actor=by,
        action="replay_dead_letters",
        target_kind=target.kind,
        target_id=target.id,
        reason=None,
        before={"open": len(replays)},
        after={"open": len(letters[ReplayResult.UNDECODABLE.value]), **letters},
    )


def resumption_entry(by: Actor, before: Intake, after: Intake, *, reason: str, at: datetime) -> AuditEntry:
    """Return the audit record of reopening the intake, also of an open one, whose count is reset."""
    return AuditEntry(
        at=at,
        actor=by,
        action="resume_dead_letters",
        target_kind="intake",
        target_id="dead letters",
        reason=reason,
        before=_state(before),
        after=_state(after),
    )


def _state(intake: Intake) -> dict[str, Any]:
    return {
        "open": intake.closed_at is None,
        "kept": intake.kept,
        "since": None if intake.since is None else format_instant(intake.since),
        "closed_at": None if intake.closed_at is None else format_instant(intake.closed_at),
        "closed_by": intake.closed_by,
    }
