"""What the kinds have in common that change an account's terms and move no money."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from daemons.banking_api.kinds.kind import TARGET, Event, Kind, Users
from daemons.banking_api.ledger.account import Account, Terms
from daemons.banking_api.ledger.record import Accounts, Act, Data, Move, Record, Ruling
from daemons.contracts.errors import BankError, ConflictError, ForbiddenError, NotFoundError
from daemons.contracts.names import AccountStatus, AccountType, EventType
from daemons.contracts.wire import format_instant
from daemons.shared.audit.record import AuditEntry


class ChangeKind(Kind):
    """Changes one account; its data hold `account`, `reason`, and the terms told, before and after."""

    is_transaction: ClassVar[bool] = False
    completed: ClassVar[EventType] = EventType.ACCOUNT_CHANGED
    change_name: ClassVar[str]
    """What `AccountChanged` calls it."""

    @classmethod
    def event(cls, record: Record, users: Users) -> Event:
        """Return the event; the account is its key."""
        data, after = record.data, record.data["after"]
        entry = record.entry_of(data["account"])
        assert entry is not None  # noqa: S101 - a change that is refused is not kept
        fields = {
            "account_id": data["account"],
            "change": cls.change_name,
            "sequence": entry.sequence,
            "type": after["type"],
            "status": after["status"],
            "currency": after["currency"],
            "owner": users[entry.owner] if entry.owner is not None else None,
            "reason": data["reason"],
            "initiated_by": users[record.initiator],
            "occurred_at": format_instant(record.at),
        }
        return Event(record.id, EventType.ACCOUNT_CHANGED, data["account"], record.at, fields)

    @classmethod
    def audit_entry(cls, record: Record, act: Act) -> AuditEntry | None:
        """Return what the audit keeps; an owner's act on an account of their own is no administrative one."""
        data = record.data
        entry = record.entry_of(data["account"])
        if entry is None or entry.owner == act.actor.user_id:
            return None
        return AuditEntry(
            at=record.at,
            actor=act.actor,
            action=record.kind,
            target_kind=TARGET,
            target_id=data["account"],
            reason=data["reason"],
            before=_audited(data["before"]),
            after=_audited(data["after"]),
            approval=act.approval.audit_fields() if act.approval else None,
        )


@dataclass(slots=True, kw_only=True)
class ChangeOfAccount(ChangeKind):
    """Asks to change an account that exists.

    `scope` is whose account it must be, None for anybody's; then `act` tells who acts.
    """

    account_id: str
    scope: UUID | None = None
    reason: str | None = None

    def content(self) -> str:
        """All that is asked; each is asked once only, under a key that nobody else has."""
        return f"{self.account_id}\x00{self.reason or ''}"

    def accounts(self) -> tuple[str, ...]:
        """The one account."""
        return (self.account_id,)

    def decide(self, accounts: Accounts) -> Ruling:
        """Refuse what is not there or not theirs, then ask the kind's own rule; refusals are not kept."""
        account = accounts.get(self.account_id)
        if account is None or account.terms.type is None:
            return account_not_found(self.account_id)
        if self.scope is not None and account.terms.owner != self.scope:
            return account_not_found(self.account_id)
        if account.terms.status is AccountStatus.CLOSED:
            return ConflictError("account_already_closed", f"Account {account.id} is closed.")
        change = self.change(account)
        return change if isinstance(change, BankError) else [Move(account, change=change)]

    @abstractmethod
    def change(self, account: Account) -> dict[str, Any] | BankError:
        """Return which terms become what, as plain values, or the refusal."""

    def data(self, accounts: Accounts) -> Data:
        """The account as it was and as it becomes."""
        account = accounts[self.account_id]
        change = self.change(account)
        assert isinstance(change, dict)  # noqa: S101 - only what was decided is kept
        return {
            "account": account.id,
            "reason": self.reason,
            "before": told_terms(account.terms),
            "after": told_terms(account.terms.changed(change)),
        }


def told_terms(terms: Terms) -> dict[str, Any]:
    """Return what a record keeps of an account's terms: events, audit and answers tell it."""
    return {
        "type": None if terms.type is None else terms.type.value,
        "status": terms.status.value,
        "status_reason": terms.status_reason,
        "currency": terms.currency,
        "name": terms.name,
        "opened_at": terms.opened_at,
    }


def account_after(record: Record) -> Account:
    """Return the account as a completed change has left it: what was done is told without another read."""
    after, account_id = record.data["after"], record.data["account"]
    entry = record.entry_of(account_id)
    assert entry is not None  # noqa: S101 - a change that is refused is not kept
    terms = Terms(
        owner=entry.owner,
        type=AccountType(after["type"]),
        status=AccountStatus(after["status"]),
        currency=after["currency"],
        name=after["name"],
        status_reason=after["status_reason"],
        opened_at=after["opened_at"],
    )
    return Account(account_id, terms, entry.balance_after_minor, entry.sequence)


def account_not_found(account_id: str) -> NotFoundError:
    """The error for an account that does not exist or is not the caller's: both look the same."""
    return NotFoundError("account_not_found", f"You have no account {account_id}.")


def own_account(account: Account, user_id: UUID | None) -> ForbiddenError | None:
    """Refuse staff who use a power of theirs on an account of their own."""
    if account.terms.owner != user_id:
        return None
    return ForbiddenError("own_account", f"Account {account.id} is your own; somebody else must act on it.")


def _audited(terms: dict[str, Any] | None) -> dict[str, Any] | None:
    return (
        None if terms is None else {name: terms[name] for name in ("type", "status", "status_reason", "name")}
    )
