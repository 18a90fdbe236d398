"""Closing an account, for good: only an empty one that is not frozen."""

from dataclasses import dataclass
from typing import Any, ClassVar

from daemons.banking_api.kinds.change import ChangeOfAccount
from daemons.banking_api.ledger.account import Account
from daemons.contracts.errors import BankError, ConflictError
from daemons.contracts.names import AccountStatus


@dataclass(slots=True, kw_only=True)
class Close(ChangeOfAccount):
    """Asks to close an account."""

    kind: ClassVar[str] = "close"
    change_name: ClassVar[str] = "closed"

    def change(self, account: Account) -> dict[str, Any] | BankError:
        """Refuse an account that is frozen or holds money."""
        if account.terms.status is AccountStatus.FROZEN:
            return ConflictError(
                "account_already_frozen", f"Account {account.id} is frozen; unfreeze it first."
            )
        if account.balance_minor != 0:
            return ConflictError(
                "account_not_empty", f"Account {account.id} still holds money; transfer it away first."
            )
        return {"status": AccountStatus.CLOSED.value, "status_reason": self.reason}
