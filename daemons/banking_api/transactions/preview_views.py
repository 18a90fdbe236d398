"""The answer to "what would these transfers do"."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from daemons.banking_api.ledger.pipeline import key_in_use
from daemons.banking_api.ledger.record import key_reused, refusal
from daemons.banking_api.money import Money
from daemons.banking_api.transactions.batch import CheckedRow
from daemons.banking_api.transactions.models import (
    BatchPreviewView,
    CounterpartyView,
    PreviewRow,
    PreviewRowSender,
    PreviewSender,
    PreviewView,
)
from daemons.banking_api.transactions.preview import Preview, PreviewedRow, SlicePreview
from daemons.banking_api.transactions.views import failure_view
from daemons.banking_api.user_directory import UserDirectory
from daemons.contracts.errors import BankError
from daemons.contracts.names import RowOutcome
from daemons.shared.http.problems import problem_of

Names = Mapping[UUID, str | None]


async def preview_view(preview: Preview, directory: UserDirectory) -> PreviewView:
    """Return the view, with both parties' names from one look-up."""
    command = preview.command
    owners = [owner for owner in (preview.from_owner, preview.to_owner) if owner]
    names = await directory.names(owners)
    after = preview.balance_after_minor
    return PreviewView.model_validate(
        {
            "from": PreviewSender(
                account_id=command.from_account,
                display_name=names.get(preview.from_owner) if preview.from_owner else None,
                balance=Money(preview.balance_minor, preview.currency).view(),
                balance_after=None if after is None else Money(after, preview.currency).view(),
            ),
            "to": CounterpartyView(
                account_id=command.to_account,
                display_name=names.get(preview.to_owner) if preview.to_owner else None,
            ),
            "amount": Money(command.amount_minor, command.currency).view(),
            "outcome": "completed" if preview.failure is None else "failed",
            "failure": failure_view(preview.failure),
        }
    )


async def batch_preview_view(
    checked: Sequence[CheckedRow], preview: SlicePreview, directory: UserDirectory, *, request_id: str
) -> BatchPreviewView:
    """Return the view of many rows, with all parties' names from one look-up."""
    owners = {owner for row in preview.rows for owner in (row.from_owner, row.to_owner) if owner}
    names = await directory.names(owners)
    previewed = iter(preview.rows)
    return BatchPreviewView(
        results=[
            _malformed(row, row.fault, request_id)
            if row.fault is not None
            else _row_view(row, next(previewed), names, request_id)
            for row in checked
        ],
        carried=preview.carried,
    )


def _malformed(row: CheckedRow, fault: BankError, request_id: str) -> PreviewRow:
    return PreviewRow.model_validate(
        {
            "index": row.place,
            "idempotency_key": row.idempotency_key or None,
            "outcome": "refused",
            "replayed": False,
            "from": None,
            "to": None,
            "transaction_id": None,
            "settled_at": None,
            "problem": problem_of(fault, request_id=request_id),
        }
    )


def _row_view(row: CheckedRow, previewed: PreviewedRow, names: Names, request_id: str) -> PreviewRow:
    command, (record, replayed, reused) = previewed.command, previewed.outcome
    failure, after = record.failure, previewed.balance_after_minor
    problem: BankError | None = None
    if previewed.key_in_use:
        replayed, problem = False, key_in_use()
    elif reused:
        problem = key_reused()
    elif failure is not None:
        problem = refusal(failure, record.id if replayed else None)
    return PreviewRow.model_validate(
        {
            "index": row.place,
            "idempotency_key": row.idempotency_key,
            "outcome": RowOutcome.REFUSED if reused or previewed.key_in_use else RowOutcome(record.status),
            "replayed": replayed,
            "from": PreviewRowSender(
                account_id=command.from_account,
                display_name=names.get(previewed.from_owner) if previewed.from_owner else None,
                balance_after=None if after is None else Money(after, command.currency).view(),
            ),
            "to": CounterpartyView(
                account_id=command.to_account,
                display_name=names.get(previewed.to_owner) if previewed.to_owner else None,
            ),
            "transaction_id": str(record.id) if replayed else None,
            "settled_at": record.at if replayed else None,
            "problem": None if problem is None else problem_of(problem, request_id=request_id),
        }
    )
