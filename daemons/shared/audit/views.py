"""What the audit's routes take and answer."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError

from daemons.contracts.errors import ConflictError
from daemons.contracts.wire import UuidText, WireModel, format_instant
from daemons.shared.audit.record import Fields
from daemons.shared.audit.verify import Verdict
from daemons.shared.http.pages import FROM_DIGITS, PageQuery

_Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_LARGEST_COUNT = 2**53


def _as_kept(text: str) -> str:
    """Return an instant in the form that records keep, which sorts as time does."""
    try:
        return format_instant(datetime.fromisoformat(text))
    except ValueError:
        raise ValueError("must be an instant that exists") from None


_QueryInstant = Annotated[
    str,
    Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?Z$"),
    AfterValidator(_as_kept),
]


class PersonView(WireModel):
    """Who it was, as they were then; without an id: the server's own shell, or nobody who was signed in."""

    user_id: UuidText | None
    display_name: str
    role: str | None


class TargetView(WireModel):
    """What was acted upon."""

    kind: str
    id: str


class AuditRecordView(WireModel):
    """One act or security event.

    `approval` names the first person if two were needed; the actor is the second. `documents` holds digests,
    before and after, of guarded documents that were changed with it.
    """

    seq: int
    at: str
    actor: PersonView
    action: str
    target: TargetView
    reason: str | None
    request_id: str
    address: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    approval: dict[str, Any] | None
    documents: dict[str, list[str | None]] | None
    previous_hash: str
    hash: str

    @classmethod
    def of(cls, record: Fields) -> "AuditRecordView":
        """Show a record.

        Raises:
            ConflictError: `audit_record_damaged`; somebody has changed it past recognition.
        """
        try:
            return cls.model_validate(record)
        except ValidationError:
            raise ConflictError(
                "audit_record_damaged",
                f"Record {record.get('seq')} of the audit trail was damaged; verify the trail.",
            ) from None


class AuditPage(WireModel):
    """Records, newest first."""

    items: list[AuditRecordView]
    next_cursor: str | None


class AuditQuery(PageQuery):
    """The list of records, or those of one action, acting user, target or time: since, and before until."""

    action: Annotated[str, Field(max_length=64)] | None = None
    actor: UuidText | None = None
    target: Annotated[str, Field(max_length=64)] | None = None
    since: _QueryInstant | None = None
    until: _QueryInstant | None = None


class AnchorQuery(WireModel):
    """A head that was kept elsewhere: both of its parts, or none."""

    count: Annotated[int, Field(ge=0, le=_LARGEST_COUNT), FROM_DIGITS] | None = None
    hash: _Hash | None = None


class HeadView(WireModel):
    """The end of the trail: keep it elsewhere, and nobody can cut or rewrite the trail unseen."""

    count: int
    hash: str


class FaultView(WireModel):
    """What is wrong with which record; 0 is the trail as a whole."""

    seq: int
    problem: str


class AuditProofView(WireModel):
    """Whether the trail is what was written."""

    trail: str
    holds: bool
    head: HeadView
    anchored: bool
    fault_count: int
    faults: list[FaultView]

    @classmethod
    def of(cls, verdict: Verdict, *, trail: str, anchored: bool) -> "AuditProofView":
        """Show a verdict."""
        return cls(
            trail=trail,
            holds=verdict.holds,
            head=HeadView(count=verdict.head.count, hash=verdict.head.hash),
            anchored=anchored,
            fault_count=verdict.fault_count,
            faults=[FaultView(seq=fault.seq, problem=fault.problem) for fault in verdict.faults],
        )
