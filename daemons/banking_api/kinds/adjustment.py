"""An adjustment: the bank corrects an account's balance against its own account (docs/adr/0016)."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field

from daemons.banking_api.kinds.kind import Users, customers_account, party
from daemons.banking_api.kinds.money import beyond_balance, not_active, other_currency
from daemons.banking_api.kinds.staff import StaffKind
from daemons.banking_api.ledger.account import Account, adjustment_account, tally_of
from daemons.banking_api.ledger.record import Accounts, Data, Failure, Move, Record, Ruling
from daemons.contracts.names import AccountStatus, Direction, EventType
from daemons.contracts.wire import AmountText, CurrencyCode, Reason, UuidText, WireModel
from daemons.shared.approvals.policy import GuardedAct


class AdjustAccount(WireModel):
    """A correction of an account's balance by the bank; the account's owner reads the reason."""

    direction: Annotated[Direction, Field(strict=False)]
    amount: AmountText
    currency: CurrencyCode
    reason: Annotated[Reason, Field(max_length=140)]
    corrects: UuidText | None = None


class AdjustmentDetails(WireModel):
    """What only adjustments have."""

    corrects: UuidText | None


@dataclass(slots=True, kw_only=True)
class Adjustment(StaffKind):
    """Asks to correct a customer's account; `corrects` may name the transaction that it sets right."""

    kind: ClassVar[str] = "adjustment"
    completed: ClassVar[EventType] = EventType.ACCOUNT_ADJUSTED
    guard: ClassVar[GuardedAct] = GuardedAct.ADJUST
    account_id: str
    direction: Direction
    reason: str
    corrects: UUID | None

    def content(self) -> str:
        """All fields."""
        asked = f"{self.account_id}\x00{self.direction.value}\x00{self.amount_minor}\x00{self.currency}"
        return f"{asked}\x00{self.corrects or ''}\x00{self.reason}"

    def accounts(self) -> tuple[str, ...]:
        """The bank's own account for it, the customer's, and the count of what it corrects."""
        counts = () if self.corrects is None else (tally_of(self.corrects),)
        return (adjustment_account(self.currency), self.account_id, *counts, *self.tallies())

    def customers(self) -> tuple[str, ...]:
        """The account that is corrected."""
        return (self.account_id,)

    def stated(self) -> str | None:
        """The reason."""
        return self.reason

    def rule(self, accounts: Accounts) -> Ruling:
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
        if failure is not None:
            return failure
        moves = [Move(payer, -self.amount_minor), Move(payee, self.amount_minor)]
        if self.corrects is not None:
            # It takes nothing back, but what it corrects shows it.
            moves.append(Move(accounts[tally_of(self.corrects)]))
        return moves

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
    def details(cls, record: Record) -> dict[str, Any]:
        """What it corrects."""
        return {"corrects": _text(record.data["corrects"])}

    @classmethod
    def audited(cls, record: Record) -> dict[str, Any]:
        """The direction, and what it corrects."""
        return {"direction": _direction(record), "corrects": _text(record.data["corrects"])}


def _direction(record: Record) -> str:
    return "debit" if customers_account(record) == record.data["from"] else "credit"


def _text(id_: UUID | None) -> str | None:
    return None if id_ is None else str(id_)
