"""What the kinds have in common that staff book on customers' accounts; policy says which take two people."""

from abc import abstractmethod
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, ClassVar, Self, get_type_hints

from pydantic import TypeAdapter

from daemons.banking_api.kinds.kind import TARGET, MoneyKind, customers_account
from daemons.banking_api.ledger.account import tally
from daemons.banking_api.ledger.record import Accounts, Act, Move, Record, Ruling
from daemons.banking_api.money import format_minor, parse_money
from daemons.contracts.errors import BankError, ForbiddenError, RejectedError
from daemons.shared.approvals.approval import Approval
from daemons.shared.approvals.policy import GuardedAct
from daemons.shared.audit.record import AuditEntry

_NOT_ASKED = frozenset(
    {
        *("id", "initiator", "idempotency_key", "act", "amount_minor"),
        *("most_minor", "alone_limit_minor", "day", "confirmation", "budget"),
    }
)


@dataclass(slots=True, kw_only=True)
class StaffKind(MoneyKind):
    """Asks to book an amount in minor units on customers' accounts, in the name of the bank."""

    guard: ClassVar[GuardedAct]
    """The act of the policy, which is also what the audit calls it."""
    amount_minor: int
    currency: str
    most_minor: int | None = None
    """How much the initiator may book within a day with others' approval; None where that is not bounded."""
    day: str = ""
    """The day (UTC) that counts for limits."""

    @property
    def always_by_two(self) -> bool:
        """Whether it takes two people whatever the policy says."""
        return False

    @abstractmethod
    def customers(self) -> tuple[str, ...]:
        """Return the customers' accounts concerned, none of which may be the staff's own.

        A request for a second person names the first one.
        """

    @abstractmethod
    def rule(self, accounts: Accounts) -> Ruling:
        """Apply the kind's own rule to the accounts that exist, and change none of them."""

    def decide(self, accounts: Accounts) -> Ruling:
        """Refuse what concerns an account of who asks or approves, and what is beyond their day's limit."""
        people = set() if self.act is None else self.act.people
        for account_id in self.customers():
            account = accounts.get(account_id)
            if account is not None and account.terms.owner in people:
                return ForbiddenError(
                    "own_account", f"Account {account_id} belongs to who asks for this or approves it."
                )
        ruling = self.rule(accounts)
        if self.most_minor is None or not isinstance(ruling, list):
            return ruling
        booked = accounts[self._together()]
        if booked.balance_minor + self.amount_minor > self.most_minor:
            left = f"{format_minor(self.most_minor - booked.balance_minor, self.currency)} {self.currency}"
            return RejectedError(
                "beyond_daily_limit",
                f"One person may have {left} more booked by {self.guard.value} today, also with approval.",
            )
        return [*ruling, Move(booked, self.amount_minor)]

    def tallies(self) -> tuple[str, ...]:
        """Return the state that counts, if the command is counted."""
        return () if self.most_minor is None else (self._together(),)

    def _together(self) -> str:
        return tally("together", self.guard.value, self.initiator, self.currency, self.day)

    @abstractmethod
    def stated(self) -> str | None:
        """Return the reason or reference that staff gave."""

    def parameters(self) -> dict[str, Any]:
        """Return all that a second person carries out, as JSON; see `requested`."""
        amount = format_minor(self.amount_minor, self.currency)
        return {
            "amount": amount,
            **{
                name: type_.dump_python(getattr(self, name), mode="json")
                for name, type_ in _asked(type(self)).items()
            },
        }

    @classmethod
    def requested(cls, approval: Approval, act: Act) -> Self:
        """Return the command that was requested, for a second person to carry out."""
        asked, key = approval.parameters, approval.idempotency_key
        if key is None:
            raise ValueError("a request to move money has an idempotency key")
        given = {name: type_.validate_python(asked[name]) for name, type_ in _asked(cls).items()}
        given["amount_minor"] = parse_money(asked["amount"], asked["currency"]).minor
        return cls(initiator=approval.requester_id, idempotency_key=key, act=act, **given)

    @classmethod
    def audited_account(cls, record: Record) -> str:
        """Return the account under which the audit keeps it."""
        return customers_account(record)

    @classmethod
    def audited(cls, record: Record) -> dict[str, Any]:  # noqa: ARG003 - the default adds nothing
        """Return what the audit keeps beside what all kinds have in common."""
        return {}

    @classmethod
    def audit_entry(cls, record: Record, act: Act) -> AuditEntry | None:
        """Return what the audit keeps, also of what a rule refused."""
        account_id, currency = cls.audited_account(record), record.data["currency"]
        entry, failure = record.entry_of(account_id), record.failure
        before: dict[str, Any] | None = None
        after: dict[str, Any] = {
            "transaction_id": str(record.id),
            "status": record.status.value,
            "failure": None if failure is None else failure.code,
            "amount": format_minor(record.data["amount"], currency),
            "currency": currency,
            **cls.audited(record),
        }
        if entry is not None:
            before = {"balance": format_minor(entry.balance_after_minor - entry.amount_minor, currency)}
            after["balance"] = format_minor(entry.balance_after_minor, currency)
        return AuditEntry(
            at=record.at,
            actor=act.actor,
            action=cls.guard.value,
            target_kind=TARGET,
            target_id=account_id,
            reason=record.data["reference"],
            before=before,
            after=after,
            approval=act.approval.audit_fields() if act.approval else None,
        )


@dataclass(slots=True, kw_only=True)
class CountedKind(StaffKind):
    """One of which the policy lets one person book some alone within a day."""

    alone_limit_minor: int | None = None
    """How much the initiator may book alone within a day; None where that is not bounded."""

    def within(self, limit_minor: int, day: str) -> Self:
        """Return the same, counted for a limit on that day."""
        return replace(self, alone_limit_minor=limit_minor, day=day)

    def tallies(self) -> tuple[str, ...]:
        """Return the state that counts, if the command is counted."""
        counted = () if self.alone_limit_minor is None else (self._alone(),)
        return (*counted, *StaffKind.tallies(self))

    def count(self, accounts: Accounts) -> list[Move] | BankError:
        """Return what to add to the moves, or the refusal of what takes a second person."""
        if self.alone_limit_minor is None:
            return []
        alone = accounts[self._alone()]
        if alone.balance_minor + self.amount_minor > self.alone_limit_minor:
            return beyond_alone_limit()
        return [Move(alone, self.amount_minor)]

    def _alone(self) -> str:
        return tally("alone", self.guard.value, self.initiator, self.currency, self.day)


@cache
def _asked(kind: type[StaffKind]) -> dict[str, TypeAdapter[Any]]:
    """Return the fields, and their types, that a request holds besides the amount."""
    hints = get_type_hints(kind)
    return {
        field.name: TypeAdapter(hints[field.name])
        for field in fields(kind)
        if field.init and field.name not in _NOT_ASKED
    }


def beyond_alone_limit() -> BankError:
    """The refusal of what needs a second person; nothing of it is kept."""
    return BankError("beyond_alone_limit", "A second person must approve this.")
