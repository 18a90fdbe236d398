"""From the books to what is answered."""

from collections.abc import Sequence
from datetime import datetime

from daemons.banking_api.books.checkpoint_models import CheckpointView
from daemons.banking_api.books.checkpoints import StoredCheckpoint
from daemons.banking_api.books.models import (
    CurrencyProof,
    OutboxView,
    ProofView,
    RelayView,
    SignedProofView,
    UnknownEventView,
)
from daemons.banking_api.books.proof import Proof
from daemons.banking_api.books.published import UnknownEvent
from daemons.banking_api.books.unpublished import Waiting
from daemons.shared.http.event_sets import EventSetView, mismatch_views
from daemons.shared.lease import Holder


def proof_view(proof: Proof) -> ProofView:
    """Return the view of a proof."""
    return ProofView(
        holds=proof.holds,
        as_of=proof.as_of,
        currencies=[
            CurrencyProof(
                currency=currency,
                sum_minor=str(total.sum_minor),
                accounts=total.accounts,
                entries=total.entries,
            )
            for currency, total in sorted(proof.currencies.items())
        ],
        accounts=proof.accounts,
        journal_transactions=proof.completed + proof.failed,
        completed=proof.completed,
        failed=proof.failed,
        mismatch_count=proof.mismatch_count,
        mismatches=mismatch_views(proof),
        outbox_pending=proof.outbox_pending,
        events=EventSetView.of(proof.events),
    )


def signed_proof_view(proof: Proof) -> SignedProofView:
    """Return the view of a proof after which the journal's end may have been signed."""
    return SignedProofView(
        **dict(proof_view(proof)),
        checkpoint=None if proof.checkpoint is None else checkpoint_view(proof.checkpoint),
        since=None if proof.start is None else checkpoint_view(proof.start.checkpoint),
        events_since=None if proof.start is None else proof.start.state.as_of,
    )


def checkpoint_view(found: StoredCheckpoint) -> CheckpointView:
    """Return the view of a checkpoint."""
    return CheckpointView(
        number=found.number, size=found.size, made_at=found.at, proved=found.is_proved, note=found.note
    )


def relay_view(holder: Holder | None, failure: str | None) -> RelayView:
    """Return the view of who publishes; nobody does if nobody holds the lease."""
    return RelayView(
        lease_holder=None if holder is None else str(holder.id),
        lease_until=None if holder is None else holder.until,
        address=None if holder is None else holder.address,
        failure=failure,
    )


def outbox_view(
    waiting: Waiting, unknown: Sequence[UnknownEvent], relay: RelayView, *, now: datetime
) -> OutboxView:
    """Return the view of what waits to be published."""
    since = waiting.oldest_at
    return OutboxView(
        pending_events=waiting.events,
        pending_commits=waiting.commits,
        oldest_at=since,
        oldest_age_seconds=None if since is None else round((now - since).total_seconds(), 3),
        unknown_events=[
            UnknownEventView(event_id=str(event.id), type=event.type, time=event.time) for event in unknown
        ],
        relay=relay,
    )
