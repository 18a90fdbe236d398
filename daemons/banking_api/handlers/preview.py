"""The answer to "what would this transfer do"."""

from daemons.banking_api.domain.decision import Preview
from daemons.banking_api.domain.money import Money
from daemons.banking_api.handlers.schemas import CounterpartyView, PreviewSender, PreviewView
from daemons.banking_api.handlers.views import failure_view
from daemons.banking_api.storage.user_directory import UserDirectory


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
