"""A reversal: staff take a transfer or a withdrawal back, whole or in part, never more than it was."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import Field

from daemons.banking_api.kinds.money import beyond_balance, not_active
from daemons.banking_api.kinds.staff import StaffKind
from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.kinds.withdrawal import Withdrawal
from daemons.banking_api.ledger.account import Account, is_banks_account, tally_of
from daemons.banking_api.ledger.record import Accounts, Act, Data, Failure, Move, Record, Ruling
from daemons.banking_api.money import format_minor, parse_money
from daemons.contracts.errors import RejectedError
from daemons.contracts.names import AccountStatus, EventType
from daemons.contracts.wire import AmountText, CurrencyCode, Reason, UuidText, WireModel
from daemons.shared.approvals.policy import GuardedAct

_REVERSIBLE = frozenset({Transfer.kind, Withdrawal.kind})


class ReverseTransaction(WireModel):
    """Takes a transaction back: all of it, or an amount in its currency.

    If the account that got the money no longer has it, the reversal is refused; `force` takes it below zero.
    """

    amount: AmountText | None = None
    currency: CurrencyCode | None = None
    reason: Annotated[Reason, Field(max_length=140)]
    force: bool = False


class ReversalDetails(WireModel):
    """What only reversals have."""

    reverses: UuidText | None


@dataclass(slots=True, kw_only=True)
class Reversal(StaffKind):
    """Asks to move an amount back; the original never changes, so the command holds its sides and amount."""

    kind: ClassVar[str] = "reversal"
    completed: ClassVar[EventType] = EventType.TRANSACTION_COMPLETED
    guard: ClassVar[GuardedAct] = GuardedAct.REVERSE
    original: UUID
    original_minor: int
    payer: str
    """The account that got the money, and gives it back."""
    payee: str
    reason: str
    force: bool

    @classmethod
    def of(
        cls, original: Record, asked: ReverseTransaction, *, initiator: UUID, idempotency_key: str, act: Act
    ) -> "Reversal":
        """Return what asks to take a transaction back; without an amount, all of it.

        Raises:
            RejectedError: `not_reversible`, or the amount is in another currency.
            InvalidRequestError: the amount is none.
        """
        data = original.data
        if original.kind not in _REVERSIBLE or original.failure is not None:
            what = "failed" if original.failure is not None else f"is of kind {original.kind}"
            raise RejectedError(
                "not_reversible",
                f"Transaction {original.id} {what}; only a completed transfer or withdrawal can be reversed.",
            )
        currency = data["currency"]
        if asked.currency not in {None, currency}:
            raise RejectedError(
                "currency_mismatch", f"Transaction {original.id} is in {currency}, not {asked.currency}."
            )
        minor: int = data["amount"]
        return cls(
            initiator=initiator,
            idempotency_key=idempotency_key,
            act=act,
            amount_minor=minor if asked.amount is None else parse_money(asked.amount, currency).minor,
            currency=currency,
            original=original.id,
            original_minor=minor,
            payer=data["to"],
            payee=data["from"],
            reason=asked.reason,
            force=asked.force,
        )

    @property
    def always_by_two(self) -> bool:
        """Nobody alone takes an account below zero."""
        return self.force

    def content(self) -> str:
        """What is reversed, how much of it, why, and whether by force; the rest follows from the original."""
        return f"{self.original}\x00{self.amount_minor}\x00{int(self.force)}\x00{self.reason}"

    def accounts(self) -> tuple[str, ...]:
        """Both sides, and how much of the original was taken back before."""
        return (self.payer, self.payee, tally_of(self.original), *self.tallies())

    def customers(self) -> tuple[str, ...]:
        """Those sides that are not the bank's, first the one that gives the money back."""
        return tuple(side for side in (self.payer, self.payee) if not is_banks_account(side))

    def stated(self) -> str | None:
        """The reason."""
        return self.reason

    def rule(self, accounts: Accounts) -> Ruling:
        """It works on frozen accounts, as a freeze stops what customers do, and on no closed one."""
        payer, payee, count = (accounts.get(id_) for id_ in self.accounts()[:3])
        if payer is None or payee is None or count is None:
            missing = self.payer if payer is None else self.payee
            return Failure("account_not_found", f"There is no account {missing}.")
        left = self.original_minor - count.balance_minor
        if self.amount_minor > left:
            amount = f"{format_minor(left, self.currency)} {self.currency}"
            return Failure("beyond_original", f"Of {self.original}, {amount} is left to reverse.")
        closed = next((side for side in (payer, payee) if side.terms.status is AccountStatus.CLOSED), None)
        failure = (None if closed is None else not_active(closed)) or beyond_balance(
            payer, payee, self.amount_minor, may_overdraw=self.force
        )
        if failure is not None:
            return failure
        minor = self.amount_minor
        return [Move(payer, -minor), Move(payee, minor), Move(count, minor)]

    def data(self, accounts: Accounts) -> Data:  # noqa: ARG002 - it says nothing of them
        """What was asked for."""
        return {
            "from": self.payer,
            "to": self.payee,
            "amount": self.amount_minor,
            "currency": self.currency,
            "reference": self.reason,
            "reverses": self.original,
            "at_most": self.original_minor,
            "overdraws": self.force,
        }

    def attempted_on(self, accounts: Accounts) -> Account | None:
        """The account that was to give the money back, or the customer's if that is the bank's."""
        return accounts.get(self.customers()[0])

    @classmethod
    def description(cls, record: Record) -> str | None:
        """What it reverses, and whether by force."""
        forced = "Forced reversal" if record.data["overdraws"] else "Reversal"
        return f"{forced} of transaction {record.data['reverses']}"

    @classmethod
    def details(cls, record: Record) -> dict[str, Any]:
        """What it reverses."""
        return {"reverses": str(record.data["reverses"])}

    @classmethod
    def audited_account(cls, record: Record) -> str:
        """The account that gave the money back, or the customer's if that is the bank's."""
        payer: str = record.data["from"]
        return str(record.data["to"]) if is_banks_account(payer) else payer

    @classmethod
    def audited(cls, record: Record) -> dict[str, Any]:
        """What it reverses, and whether by force."""
        return {"reverses": str(record.data["reverses"]), "forced": record.data["overdraws"]}
