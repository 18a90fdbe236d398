"""What an account is for, and what its owner calls it."""

from dataclasses import dataclass
from typing import Any, ClassVar

from daemons.banking_api.kinds.change import ChangeOfAccount
from daemons.banking_api.ledger.account import Account
from daemons.contracts.errors import BankError
from daemons.contracts.names import AccountType


@dataclass(slots=True, kw_only=True)
class ChangeType(ChangeOfAccount):
    """Asks to make an account a checking or a savings account."""

    kind: ClassVar[str] = "change_type"
    change_name: ClassVar[str] = "type_changed"
    new_type: AccountType

    def content(self) -> str:
        """The new type as well."""
        return f"{self.account_id}\x00{self.new_type.value}"

    def change(self, account: Account) -> dict[str, Any] | BankError:  # noqa: ARG002 - any may become either
        """Every account that is not closed may become either."""
        return {"type": self.new_type.value}


@dataclass(slots=True, kw_only=True)
class Rename(ChangeOfAccount):
    """Asks to give an account another name, or none."""

    kind: ClassVar[str] = "rename"
    change_name: ClassVar[str] = "renamed"
    name: str | None

    def content(self) -> str:
        """The new name as well."""
        return f"{self.account_id}\x00{'' if self.name is None else f'={self.name}'}"

    def change(self, account: Account) -> dict[str, Any] | BankError:  # noqa: ARG002 - any may have any name
        """Every account that is not closed may have any name."""
        return {"name": self.name}
