"""What the routes of dead letters take and answer."""

import base64
from typing import Annotated

from pydantic import Field

from daemons.contracts.names import LetterStatus, ReplayResult
from daemons.contracts.wire import Instant, UuidText, WireModel
from daemons.notifier.dead_letters.dead_letter import DeadLetterLimit, Intake, KeptLetter, Replay
from daemons.notifier.dead_letters.service import Replayed
from daemons.notifier.event_log.models import TypeName
from daemons.shared.audit.views import PersonView
from daemons.shared.http.pages import PageQuery

StatusName = Annotated[LetterStatus, Field(strict=False)]
ResultName = Annotated[ReplayResult, Field(strict=False)]


class BytesView(WireModel):
    """Bytes as they came: exactly in `base64`, and as `text` if they are UTF-8."""

    size: int
    text: str | None
    base64: str

    @classmethod
    def of(cls, raw: bytes | None) -> "BytesView | None":
        """Show bytes, if there are any."""
        if raw is None:
            return None
        try:
            text: str | None = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = None
        return cls(size=len(raw), text=text, base64=base64.b64encode(raw).decode())


class HeaderView(WireModel):
    """A header of a record."""

    name: str
    value: BytesView | None


class ReplayView(WireModel):
    """Who replayed a letter, when, and the outcome."""

    by: PersonView
    at: Instant
    result: ResultName
    event_id: UuidText | None
    reason: str | None

    @classmethod
    def of(cls, replay: Replay) -> "ReplayView":
        """Show a replay."""
        return cls(
            by=PersonView.model_validate(replay.by),
            at=replay.at,
            result=replay.result,
            event_id=None if replay.event_id is None else str(replay.event_id),
            reason=replay.reason,
        )


class DeadLetterSummary(WireModel):
    """A record that could not be decoded: its place, the reason, and its outcome."""

    id: UuidText
    topic: str
    partition: int
    offset: int
    status: StatusName
    reason: str
    received_at: Instant
    last_replay: ReplayView | None


class DeadLetterView(DeadLetterSummary):
    """A dead letter with the record as it came."""

    key: BytesView | None
    value: BytesView | None
    headers: list[HeaderView]

    @staticmethod
    def summary_of(kept: KeptLetter) -> DeadLetterSummary:
        """Show a letter without its content."""
        record = kept.letter.record
        return DeadLetterSummary(
            id=str(kept.id),
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            status=kept.status,
            reason=kept.letter.reason,
            received_at=kept.received_at,
            last_replay=None if kept.last_replay is None else ReplayView.of(kept.last_replay),
        )

    @classmethod
    def of(cls, kept: KeptLetter) -> "DeadLetterView":
        """Show a letter whole."""
        record = kept.letter.record
        return cls(
            **dict(cls.summary_of(kept)),
            key=BytesView.of(record.key),
            value=BytesView.of(record.value),
            headers=[
                HeaderView(name=name, value=BytesView.of(value)) for name, value in record.headers.items()
            ],
        )


class ReopeningView(WireModel):
    """Who let letters be set aside again, when and why."""

    by: PersonView
    at: Instant
    reason: str


class IntakeView(WireModel):
    """Whether undecodable records are set aside; closed, the consumer stands still before the next one."""

    open: bool
    limit: int
    window_minutes: int
    since: Instant | None
    kept: int
    closed_at: Instant | None
    closed_by: str | None
    reopened: ReopeningView | None

    @classmethod
    def of(cls, intake: Intake, limit: DeadLetterLimit) -> "IntakeView":
        """Show the intake."""
        return cls(
            open=intake.closed_at is None,
            limit=limit.letters,
            window_minutes=int(limit.window.total_seconds() // 60),
            since=intake.since,
            kept=intake.kept,
            closed_at=intake.closed_at,
            closed_by=intake.closed_by,
            reopened=None if intake.reopened is None else ReopeningView.model_validate(intake.reopened),
        )


class DeadLetterPage(WireModel):
    """Some letters, where the next page begins, and the intake."""

    items: list[DeadLetterSummary]
    next_cursor: str | None
    intake: IntakeView


class DeadLetterQuery(PageQuery):
    """The list of letters, or those of one topic or status."""

    topic: TypeName | None = None
    status: StatusName | None = None


class ReplayOrder(WireModel):
    """Which open letters to replay: of one topic or all, behind the one that an earlier answer ended with."""

    topic: TypeName | None = None
    after: UuidText | None = None


class ReplayReport(WireModel):
    """How many came to which result; with `last` not null, ask again with it as `after`."""

    recorded: int
    already_recorded: int
    undecodable: int
    last: UuidText | None

    @classmethod
    def of(cls, done: Replayed) -> "ReplayReport":
        """Show what was done."""
        return cls(
            recorded=done.results[ReplayResult.RECORDED],
            already_recorded=done.results[ReplayResult.ALREADY_RECORDED],
            undecodable=done.results[ReplayResult.UNDECODABLE],
            last=None if done.last is None else str(done.last),
        )
