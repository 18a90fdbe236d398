"""A withdrawal: money leaves the bank, by its owner's order to an account elsewhere, or at the counter."""

from dataclasses import dataclass
from typing import Any, ClassVar

# What checks IBANs takes 0.12 s to load: the daemon does so when it starts, and no request waits for it.
import schwifty  # noqa: F401

from daemons.banking_api.kinds.budget import Budget
from daemons.banking_api.kinds.confirmation import Confirmation
from daemons.banking_api.kinds.kind import OutsideParty
from daemons.banking_api.kinds.money import beyond_balance, not_active, other_currency
from daemons.banking_api.kinds.staff import CountedKind
from daemons.banking_api.ledger.account import Account, settlement_account
from daemons.banking_api.ledger.record import Accounts, Data, Failure, Move, Record, Ruling
from daemons.contracts.errors import BankError
from daemons.contracts.names import EventType
from daemons.contracts.wire import AccountNumber, AmountText, CurrencyCode, Iban, Name, Reference, WireModel
from daemons.shared.approvals.policy import GuardedAct

_SHOWN_OF_IBAN = 4
"""So many characters at either end; events and notifications hold no more."""


class Beneficiary(WireModel):
    """Who gets the money, and on which account elsewhere."""

    name: Name
    iban: Iban


class Withdraw(WireModel):
    """Pays from an account of the caller's to one elsewhere."""

    from_account: AccountNumber
    amount: AmountText
    currency: CurrencyCode
    beneficiary: Beneficiary
    reference: Reference | None = None


class WithdrawAtCounter(WireModel):
    """Money that a customer was handed out."""

    amount: AmountText
    currency: CurrencyCode
    reference: Reference | None = None


class BeneficiaryView(WireModel):
    """Who got the money, and on which account elsewhere."""

    name: str
    iban: str


class WithdrawalDetails(WireModel):
    """What only withdrawals have; null where the money was handed out at the counter."""

    beneficiary: BeneficiaryView | None


@dataclass(slots=True, kw_only=True)
class Withdrawal(CountedKind):
    """Asks to pay an amount out, to the beneficiary with an IBAN, and without one at the counter."""

    kind: ClassVar[str] = "withdrawal"
    completed: ClassVar[EventType] = EventType.TRANSACTION_COMPLETED
    guard: ClassVar[GuardedAct] = GuardedAct.WITHDRAW
    from_account: str
    reference: str | None
    name: str | None = None
    iban: str | None = None
    confirmation: Confirmation | None = None
    budget: Budget | None = None

    def content(self) -> str:
        """All fields; a reference that is empty is not one that is absent."""
        reference = "" if self.reference is None else f"={self.reference}"
        asked = f"{self.from_account}\x00{self.amount_minor}\x00{self.currency}\x00{self.iban or ''}"
        return f"{asked}\x00{self.name or ''}\x00{reference}"

    def accounts(self) -> tuple[str, ...]:
        """The customer's account, the bank's own of the currency, and what counts for limits."""
        sides = (self.from_account, settlement_account(self.currency), *self.tallies())
        if self.budget is not None:
            sides += self.budget.tallies()
        if self.confirmation is not None:
            sides += self.confirmation.tallies(self.initiator, self.currency)
        return sides

    def customers(self) -> tuple[str, ...]:
        """The account that money leaves."""
        return (self.from_account,)

    def stated(self) -> str | None:
        """The reference."""
        return self.reference

    def rule(self, accounts: Accounts) -> Ruling:
        """Refuse as a transfer is refused; at the counter anybody's account may be named."""
        bank = accounts[settlement_account(self.currency)]
        payer = self._payer(accounts)
        if payer is None:
            whose = "There is no account" if self.iban is None else "You have no account"
            return Failure("account_not_found", f"{whose} {self.from_account}.")
        failure = (
            not_active(payer)
            or other_currency(payer, self.currency)
            or beyond_balance(payer, bank, self.amount_minor)
        )
        if failure is not None:
            return failure
        counted = self.count(accounts)
        if isinstance(counted, BankError):
            return counted
        moves = [Move(payer, -self.amount_minor), Move(bank, self.amount_minor), *counted]
        ruling: Ruling = moves
        if self.budget is not None:
            payee = self.iban or "the counter"
            ruling = self.budget.spend(
                moves, accounts, amount_minor=self.amount_minor, currency=self.currency, payee=payee
            )
        if self.confirmation is None or not isinstance(ruling, list):
            return ruling
        return self.confirmation.admit(
            ruling, accounts, initiator=self.initiator, amount_minor=self.amount_minor, currency=self.currency
        )

    def _payer(self, accounts: Accounts) -> Account | None:
        payer = accounts.get(self.from_account)
        if payer is None or payer.terms.type is None:
            return None
        return payer if self.iban is None or payer.terms.owner == self.initiator else None

    def data(self, accounts: Accounts) -> Data:  # noqa: ARG002 - it says nothing of them
        """What was asked for, and by which confirmation."""
        asked = {
            "from": self.from_account,
            "to": settlement_account(self.currency),
            "amount": self.amount_minor,
            "currency": self.currency,
            "reference": self.reference,
            "beneficiary": None if self.iban is None else {"name": self.name, "iban": self.iban},
        }
        return asked if self.confirmation is None else asked | self.confirmation.data()

    def attempted_on(self, accounts: Accounts) -> Account | None:
        """The account, unless it is somebody else's: nobody is to know of that."""
        return self._payer(accounts)

    @classmethod
    def description(cls, record: Record) -> str | None:
        """To whom, with the ends of the IBAN only: events go to all staff."""
        beneficiary = record.data["beneficiary"]
        if beneficiary is None:
            return "Withdrawal at the counter"
        iban = beneficiary["iban"]
        return f"Withdrawal to {beneficiary['name']} ({iban[:_SHOWN_OF_IBAN]}…{iban[-_SHOWN_OF_IBAN:]})"

    @classmethod
    def details(cls, record: Record) -> dict[str, Any]:
        """Who got the money."""
        return {"beneficiary": record.data["beneficiary"]}

    @classmethod
    def outside_party(cls, record: Record) -> OutsideParty | None:
        """Who got the money; at the counter it was the owner."""
        beneficiary = record.data["beneficiary"]
        return None if beneficiary is None else OutsideParty(beneficiary["iban"], beneficiary["name"])
