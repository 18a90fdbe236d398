"""Accounts and what may become of them. Balances change in the journal only (`decision.py`)."""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from daemons.contracts.errors import ConflictError, ForbiddenError, NotFoundError


class AccountType(StrEnum):
    """What a customer's account is for."""

    CHECKING = "checking"
    SAVINGS = "savings"


class AccountStatus(StrEnum):
    """Money moves on active accounts only."""

    ACTIVE = "active"
    FROZEN = "frozen"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A customer's account."""

    id: str
    owner: UUID
    name: str | None
    type: AccountType
    status: AccountStatus
    status_reason: str | None
    currency: str
    balance_minor: int
    sequence: int
    opened_at: datetime


def opening_fingerprint(type_: AccountType, currency: str, name: str | None) -> bytes:
    """Return 16 bytes for what an opening asks for; with them a key used again for another is noticed."""
    named = "" if name is None else f"={name}"
    return hashlib.sha256(f"{type_.value}\x00{currency}\x00{named}".encode()).digest()[:16]


def freeze(account: Account, reason: str) -> Account:
    """Stop all money on the account.

    Raises:
        ConflictError: it is frozen or closed already.
    """
    _refuse_closed(account)
    if account.status is AccountStatus.FROZEN:
        raise ConflictError("account_already_frozen", f"Account {account.id} is frozen already.")
    return replace(account, status=AccountStatus.FROZEN, status_reason=reason)


def unfreeze(account: Account, reason: str) -> Account:
    """Let money move again.

    Raises:
        ConflictError: it is not frozen.
    """
    _refuse_closed(account)
    if account.status is not AccountStatus.FROZEN:
        raise ConflictError("account_not_frozen", f"Account {account.id} is not frozen.")
    return replace(account, status=AccountStatus.ACTIVE, status_reason=reason)


def change_type(account: Account, new_type: AccountType) -> Account:
    """Make it a checking or a savings account; a closed account keeps what it was.

    Raises:
        ConflictError: it is closed.
    """
    _refuse_closed(account)
    return replace(account, type=new_type)


def close(account: Account, reason: str | None) -> Account:
    """Close the account for good. Only an empty account that is not frozen can be closed.

    Raises:
        ConflictError: it holds money, is frozen, or is closed already.
    """
    _refuse_closed(account)
    if account.status is AccountStatus.FROZEN:
        raise ConflictError("account_already_frozen", f"Account {account.id} is frozen; unfreeze it first.")
    if account.balance_minor != 0:
        raise ConflictError(
            "account_not_empty", f"Account {account.id} still holds money; transfer it away first."
        )
    return replace(account, status=AccountStatus.CLOSED, status_reason=reason)


def check_not_own(account: Account, user_id: UUID | None) -> None:
    """Go on only if the account is somebody else's: staff use no power of theirs on an account of their own.

    Raises:
        ForbiddenError: `own_account`.
    """
    if account.owner == user_id:
        raise ForbiddenError(
            "own_account", f"Account {account.id} is your own; somebody else must act on it."
        )


def account_not_found(account_id: str) -> NotFoundError:
    """The error for an account that does not exist or is not the caller's: both look the same."""
    return NotFoundError("account_not_found", f"You have no account {account_id}.")


def _refuse_closed(account: Account) -> None:
    if account.status is AccountStatus.CLOSED:
        raise ConflictError("account_already_closed", f"Account {account.id} is closed.")
