"""From an account to what is answered."""

from daemons.banking_api.accounts.models import AccountView
from daemons.banking_api.ledger.account import Account
from daemons.banking_api.money import Money


def account_view(account: Account) -> AccountView:
    """Return the view of a customer's account."""
    terms = account.terms
    if terms.type is None or terms.opened_at is None:
        raise ValueError("the bank's own accounts are shown to nobody")
    return AccountView(
        id=account.id,
        owner_id=str(terms.owner),
        name=terms.name,
        type=terms.type,
        status=terms.status,
        balance=Money(account.balance_minor, terms.currency).view(),
        opened_at=terms.opened_at,
        status_reason=terms.status_reason,
    )
