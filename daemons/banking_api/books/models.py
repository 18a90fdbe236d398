"""What the routes of the books take and answer; fields not named here are refused."""

from typing import Annotated

from pydantic import Field

from daemons.banking_api.books.checkpoint_models import CheckpointView
from daemons.contracts.vocabulary import IDS_LIMIT
from daemons.contracts.wire import CurrencyCode, Instant, Reason, UuidText, WireModel
from daemons.shared.http.event_sets import EventSetView, MismatchView
from daemons.shared.http.lines import ProgressView
from daemons.shared.http.pages import LARGEST_NUMBER


class BankView(WireModel):
    """Which bank this is, whatever its address, and how many rows a batch, or an atomic one, may have."""

    bank_id: UuidText
    batch_limit: int
    atomic_limit: int


class CurrencyProof(WireModel):
    """One currency: `sum_minor` is zero when the books are right."""

    currency: CurrencyCode
    sum_minor: str
    accounts: int
    entries: int


class ProofView(WireModel):
    """The books, proved from the entries as of one moment; `as_of` is the time of the newest record."""

    holds: bool
    as_of: Instant
    currencies: list[CurrencyProof]
    accounts: int
    journal_transactions: int
    completed: int
    failed: int
    mismatch_count: int
    mismatches: list[MismatchView]
    outbox_pending: int
    events: EventSetView


class SignedProofView(ProofView):
    """A proof, and what was signed of the journal if the books hold.

    `since` is the checkpoint from which the journal was read, null if all was; `events` are then those from
    `events_since` on.
    """

    checkpoint: CheckpointView | None
    since: CheckpointView | None
    events_since: Instant | None


class SignedProofLine(WireModel):
    """One line: progress, or as the last one the result or the problem."""

    progress: ProgressView | None = None
    result: SignedProofView | None = None
    problem: dict[str, object] | None = None


class ProofOrder(WireModel):
    """The size of the checkpoint at which an earlier proof ended, to go on from there; null for all."""

    since: Annotated[int, Field(ge=1, le=LARGEST_NUMBER)] | None = None


class ProofLine(WireModel):
    """One line: progress, or as the last one the result or the problem."""

    progress: ProgressView | None = None
    result: ProofView | None = None
    problem: dict[str, object] | None = None


class RelayView(WireModel):
    """Who decides and publishes: the holder of the lease, at which address other processes reach it.

    `failure` is of the process that answered.
    """

    lease_holder: UuidText | None
    lease_until: Instant | None
    address: str | None
    failure: str | None


class RebuiltView(WireModel):
    """How many accounts there are, how many were missing or otherwise, and how many no record opens."""

    accounts: int
    changed: int
    removed: int


class RebuiltLine(WireModel):
    """One line: progress, or as the last one the result or the problem."""

    progress: ProgressView | None = None
    result: RebuiltView | None = None
    problem: dict[str, object] | None = None


class Republication(WireModel):
    """Transactions whose events are to go out again, and why; kept in the audit trail."""

    transaction_ids: Annotated[list[UuidText], Field(min_length=1, max_length=IDS_LIMIT)]
    reason: Reason


class RepublicationView(WireModel):
    """How many events go out again, under their old ids; the journal does not have the `unknown` ones."""

    events: int
    unknown: list[UuidText]


class LostEvents(WireModel):
    """Events that Kafka has and the database does not, given up as lost, and why; kept in the audit trail."""

    event_ids: Annotated[list[UuidText], Field(min_length=1, max_length=IDS_LIMIT)]
    reason: Reason


class LostEventsView(WireModel):
    """Which events are given up as lost now; the database knows the others, or they were given up before."""

    given_up: list[UuidText]


class UnknownEventView(WireModel):
    """An event that was published, and that the database does not know."""

    event_id: UuidText
    type: str
    time: str


class OutboxView(WireModel):
    """What was committed and waits to be published.

    `unknown_events` tells, at the process that publishes, that an older copy of the database is served.
    """

    pending_events: int
    pending_commits: int
    oldest_at: Instant | None
    oldest_age_seconds: float | None
    unknown_events: list[UnknownEventView]
    relay: RelayView
