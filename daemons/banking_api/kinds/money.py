"""What the rules of kinds that move money have in common."""

from daemons.banking_api.ledger.account import Account
from daemons.banking_api.ledger.record import Failure
from daemons.banking_api.money import LARGEST_MINOR, format_minor
from daemons.contracts.names import AccountStatus


def not_active(account: Account) -> Failure | None:
    """Refuse an account on which customers move no money."""
    status = account.terms.status
    if status is AccountStatus.ACTIVE:
        return None
    return Failure(f"account_{status.value}", f"Account {account.id} is {status.value}.")


def other_currency(account: Account, currency: str) -> Failure | None:
    """Refuse an account that is kept in another currency."""
    kept_in = account.terms.currency
    if kept_in == currency:
        return None
    return Failure("currency_mismatch", f"Account {account.id} is kept in {kept_in}, not {currency}.")


def beyond_balance(
    payer: Account, payee: Account, amount_minor: int, *, may_overdraw: bool = False
) -> Failure | None:
    """Refuse what the payer does not hold, and what is beyond any balance.

    The bank's own accounts go below zero, and customers' if the kind says so.
    """
    held = payer.balance_minor
    if held < amount_minor and payer.terms.type is not None and not may_overdraw:
        has = format_minor(held, payer.terms.currency)
        return Failure("insufficient_funds", f"Account {payer.id} holds {has} {payer.terms.currency}.")
    if payee.balance_minor > LARGEST_MINOR - amount_minor or held < amount_minor - LARGEST_MINOR:
        return Failure("balance_limit_exceeded", "The amount would take a balance beyond what it can hold.")
    return None
