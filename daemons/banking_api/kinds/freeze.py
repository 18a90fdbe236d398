"""Freezing stops what customers do with an account; unfreezing lets them move money again."""

from dataclasses import dataclass
from typing import Any, ClassVar

from daemons.banking_api.kinds.change import ChangeOfAccount, own_account
from daemons.banking_api.ledger.account import Account
from daemons.contracts.errors import BankError, ConflictError
from daemons.contracts.names import AccountStatus
from daemons.shared.approvals.approval import approval_outdated


@dataclass(slots=True, kw_only=True)
class Freeze(ChangeOfAccount):
    """Asks to freeze an account; staff do it, never on an account of their own."""

    kind: ClassVar[str] = "freeze"
    change_name: ClassVar[str] = "frozen"

    def change(self, account: Account) -> dict[str, Any] | BankError:
        """Refuse an account that is frozen already."""
        if (own := own_account(account, self.initiator)) is not None:
            return own
        if account.terms.status is AccountStatus.FROZEN:
            return ConflictError("account_already_frozen", f"Account {account.id} is frozen already.")
        return {"status": AccountStatus.FROZEN.value, "status_reason": self.reason}


@dataclass(slots=True, kw_only=True)
class Unfreeze(ChangeOfAccount):
    """Asks to unfreeze an account; `as_of` is its number when a second person was asked."""

    kind: ClassVar[str] = "unfreeze"
    change_name: ClassVar[str] = "unfrozen"
    as_of: int | None = None

    def change(self, account: Account) -> dict[str, Any] | BankError:
        """Refuse an account that is not frozen, or no longer the one that was asked about."""
        if self.as_of is not None and self.as_of != account.sequence:
            return approval_outdated(f"Account {account.id}")
        asked_by = None if self.act is None or self.act.approval is None else self.act.approval.requester_id
        own = own_account(account, self.initiator) or own_account(account, asked_by)
        if own is not None:
            return own
        if account.terms.status is not AccountStatus.FROZEN:
            return ConflictError("account_not_frozen", f"Account {account.id} is not frozen.")
        return {"status": AccountStatus.ACTIVE.value, "status_reason": self.reason}
