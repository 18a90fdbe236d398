"""An adjustment: the bank corrects an account's balance against its own account (docs/adr/0016)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from daemons.banking_api.kinds.kind import MoneyKind, Users, customers_account, party
from daemons.banking_api.kinds.money import beyond_balance, not_active, other_currency
from daemons.banking_api.ledger.account import Account, AccountStatus, adjustment_account
from daemons.banking_api.ledger.record import Accounts, Data, Failure, Move, Record, Ruling
from daemons.contracts.events import EventType


class Direction(StrEnum):
    """Whether the account gets money or gives it."""

    CREDIT = "credit"
    DEBIT = "debit"


@dataclass(slots=True, kw_only=True)
class Adjustment(MoneyKind):
    """Asks to correct a customer's account; `corrects` may name the transaction that it sets right."""

    kind: ClassVar[str] = "adjustment"
    completed: ClassVar[EventType] = EventType.ACCOUNT_ADJUSTED
    action: ClassVar[str] = "adjust"
    account_id: str
    direction: Direction
    amount_minor: int
    currency: str
    reason: str
    corrects: UUID | None

    def content(self) -> str:
        """All fields."""
        asked = f"{self.account_id}\x00{self.direction.value}\x00{self.amount_minor}\x00{self.currency}"
        return f"{asked}\x00{self.corrects or ''}\x00{self.reason}"

    def accounts(self) -> tuple[str, ...]:
        """The bank's own account for it and the customer's."""
        return (adjustment_account(self.currency), self.account_id)

    def decide(self, accounts: Accounts) -> Ruling:
        """It works on a frozen account: a freeze stops what customers do."""
        bank, account = accounts[adjustment_account(self.currency)], accounts.get(self.account_id)
        if account is None or account.terms.type is None:
            return Failure("account_not_found", f"There is no account {self.account_id}.")
        closed = not_active(account) if account.terms.status is AccountStatus.CLOSED else None
        payer, payee = (account, bank) if self.direction is Direction.DEBIT else (bank, account)
        failure = (
            closed
            or other_currency(account, self.currency)
            or beyond_balance(payer, payee, self.amount_minor)
        )
        return failure or [Move(payer, -self.amount_minor), Move(payee, self.amount_minor)]

    def data(self, accounts: Accounts) -> Data:  # noqa: ARG002 - it says nothing of them
        """What was asked for."""
        bank = adjustment_account(self.currency)
        debit = self.direction is Direction.DEBIT
        return {
            "from": self.account_id if debit else bank,
            "to": bank if debit else self.account_id,
            "amount": self.amount_minor,
            "currency": self.currency,
            "reference": self.reason,
            "corrects": self.corrects,
        }

    def attempted_on(self, accounts: Accounts) -> Account | None:
        """The customer's account: what staff tried to book shows there."""
        account = accounts.get(self.account_id)
        return None if account is None or account.terms.type is None else account

    @classmethod
    def event_data(cls, record: Record, data: dict[str, Any], users: Users) -> dict[str, Any]:
        """One account and a direction instead of two sides, of which one is the bank's own."""
        return {
            **{name: data[name] for name in ("transaction_id", "amount", "initiated_by", "occurred_at")},
            "direction": _direction(record),
            "account": party(record, customers_account(record), users),
            "reason": record.data["reference"],
            "corrects": _text(record.data["corrects"]),
        }

    @classmethod
    def audited(cls, record: Record) -> dict[str, Any]:
        """The direction, and what it corrects."""
        return {"direction": _direction(record), "corrects": _text(record.data["corrects"])}


def _direction(record: Record) -> str:
    return "debit" if customers_account(record) == record.data["from"] else "credit"


def _text(id_: UUID | None) -> str | None:
    return None if id_ is None else str(id_)
