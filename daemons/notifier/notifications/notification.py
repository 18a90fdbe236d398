"""The notification of an event: how urgent it is, and one sentence for people."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from daemons.contracts.events.account_adjusted import AccountAdjusted
from daemons.contracts.events.account_changed import AccountChanged
from daemons.contracts.events.account_funded import AccountFundedPayload
from daemons.contracts.events.contract import Party, UserReference
from daemons.contracts.events.table import EventData
from daemons.contracts.events.transaction_completed import TransactionCompleted
from daemons.contracts.events.transaction_failed import TransactionFailed
from daemons.contracts.events.user_changed import UserChanged
from daemons.contracts.events.user_registered import UserRegistered
from daemons.contracts.names import EventType, Severity, UserStatus
from daemons.contracts.wire import MoneyView
from daemons.notifier.event import Event

LOG_CHANNEL = "log"
OPERATIONS = "operations"
"""The recipient of the log channel: the operator of the bank."""

_CHANGES = {
    "opened": "was opened",
    "renamed": "was renamed",
    "frozen": "was frozen",
    "unfrozen": "was unfrozen",
    "closed": "was closed",
}


@dataclass(frozen=True, slots=True)
class Notification:
    """One message about one event to one recipient over one channel; those three are unique together."""

    id: UUID
    event_id: UUID
    event_type: EventType
    channel: str
    recipient: str
    severity: Severity
    text: str
    account_ids: tuple[str, ...]
    created_at: datetime


def notification_of(event: Event, *, notification_id: UUID, created_at: datetime) -> Notification:
    """Write the operations' notification of an event."""
    return Notification(
        id=notification_id,
        event_id=event.id,
        event_type=event.type,
        channel=LOG_CHANNEL,
        recipient=OPERATIONS,
        severity=severity_of(event.data),
        text=text_of(event.data),
        account_ids=event.account_ids,
        created_at=created_at,
    )


def severity_of(data: EventData) -> Severity:
    """A refused transaction, a reversal and a frozen account are alerts; the rest is news."""
    match data:
        case TransactionFailed() | TransactionCompleted(kind="reversal") | AccountChanged(change="frozen"):
            return Severity.WARNING
        case _:
            return Severity.INFO


def text_of(data: EventData) -> str:
    """Say what happened in one sentence for people."""
    match data:
        case TransactionCompleted():
            moved = f"{_money(data.amount)} moved from {_party(data.sender)} to {_party(data.receiver)}"
            text = f"{data.description}: {moved}" if data.description else moved
            return f"{text}{_quoted(data.reference)}"
        case TransactionFailed():
            what = data.description or data.kind.capitalize().replace("_", " ")
            sides = f"from {_party(data.sender)} to {_party(data.receiver)}"
            return f"{what} of {_money(data.amount)} {sides} was refused: {data.failure.detail}"
        case AccountFundedPayload():
            funded = f"{_money(data.amount)} came in to {_party(data.receiver)}"
            return f"{funded}, booked by {_user(data.initiated_by)}{_quoted(data.reference)}"
        case AccountAdjusted():
            moved = "credited to" if data.direction == "credit" else "debited from"
            adjusted = f"{_money(data.amount)} was {moved} {_party(data.account)} as a correction"
            of = f" of transaction {data.corrects}" if data.corrects else ""
            return f"{adjusted}{of}, asked for by {_user(data.initiated_by)}: {data.reason}"
        case AccountChanged():
            changed = _CHANGES.get(data.change, f"was made a {data.type} account")
            text = f"Account {data.account_id} of {_user(data.owner)} {changed} by {_user(data.initiated_by)}"
            return f"{text}: {data.reason}" if data.reason else text
        case UserRegistered() | UserChanged():
            what = _changes(data) if isinstance(data, UserChanged) else f"registered as {data.role}"
            return f"{data.display_name} ({data.email}) {what}"


def _changes(data: UserChanged) -> str:
    if data.status is UserStatus.ERASED:
        return "was erased" if data.initiated_by is None else f"was erased, by {_user(data.initiated_by)}"
    told = {
        "display_name": "has a new name",
        "email": "has a new address",
        "role": f"is {data.role} now",
        "status": "was locked" if data.status is UserStatus.LOCKED else "was unlocked",
        "second_factor": "has a second factor" if data.second_factor else "has no second factor any more",
        "password": "has a new password",
    }
    changes = ", ".join(told[change] for change in data.changes)
    by_somebody_else = data.initiated_by is not None and data.initiated_by.user_id != data.user_id
    return f"{changes}, by {_user(data.initiated_by)}" if data.initiated_by and by_somebody_else else changes


def _money(amount: MoneyView) -> str:
    return f"{amount.amount} {amount.currency}"


def _party(party: Party) -> str:
    if not party.account_id.isdigit():
        # Of the bank's own accounts one stands for the world outside, the others are the bank's business.
        return "outside the bank" if party.account_id.startswith("settlement:") else "the bank"
    if party.owner is None or party.owner.display_name is None:
        return f"account {party.account_id}"
    return f"{party.owner.display_name} ({party.account_id})"


def _user(user: UserReference) -> str:
    return user.display_name or f"user {user.user_id}"


def _quoted(reference: str | None) -> str:
    return f' ("{reference}")' if reference else ""
