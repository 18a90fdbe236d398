"""What each kind of command tells of its records: to Kafka, to the audit, on statements."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from daemons.banking_api.ledger.account import is_banks_account
from daemons.banking_api.ledger.record import Act, Command, Record
from daemons.banking_api.money import format_minor
from daemons.contracts.names import EventType
from daemons.contracts.wire import format_instant
from daemons.shared.audit.record import AuditEntry

Users = Mapping[UUID, dict[str, Any]]
"""Users as events name them: `user_id` and `display_name`."""
TARGET = "account"


@dataclass(frozen=True, slots=True)
class Event:
    """An event before it is encoded; it carries its record's id."""

    id: UUID
    type: EventType
    key: str
    occurred_at: datetime
    data: dict[str, Any]


class OutsideParty(NamedTuple):
    """Somebody who has no account at this bank, as a statement names them."""

    account: str
    name: str


class Kind(Command):
    """A command that can tell others what became of it."""

    completed: ClassVar[EventType]
    """The event of a completed record; of a failed one it is `TransactionFailed`."""
    is_transaction: ClassVar[bool]
    """Whether its records move money: those are what statements and lists of transactions show."""

    @classmethod
    @abstractmethod
    def event(cls, record: Record, users: Users) -> Event:
        """Return the one event of a record."""

    @classmethod
    @abstractmethod
    def audit_entry(cls, record: Record, act: Act) -> AuditEntry | None:
        """Return what the audit keeps of a record; None if it is nobody else's business."""


class MoneyKind(Kind):
    """Moves an amount between two accounts; its data hold `from`, `to`, `amount`, `currency`, `reference`.

    Two more entries of the data are for the proof of the books: `overdraws`, true if it may take a customer's
    account below zero, and `at_most`, which the tally of the record that it takes back may not exceed.
    """

    is_transaction: ClassVar[bool] = True

    @classmethod
    def event(cls, record: Record, users: Users) -> Event:
        """Return the event: the sender's account is its key, or the customer's if the bank's is the other."""
        data = {
            "transaction_id": str(record.id),
            "kind": record.kind,
            "description": cls.description(record),
            "amount": amount_view(record),
            "sender": party(record, record.data["from"], users),
            "receiver": party(record, record.data["to"], users),
            "reference": record.data["reference"],
            "initiated_by": users[record.initiator],
            "occurred_at": format_instant(record.at),
        }
        if record.failure is not None:
            data["failure"] = {"code": record.failure.code, "detail": record.failure.detail}
            return Event(record.id, EventType.TRANSACTION_FAILED, record.data["from"], record.at, data)
        return Event(
            record.id, cls.completed, event_key(record), record.at, cls.event_data(record, data, users)
        )

    @classmethod
    def event_data(cls, record: Record, data: dict[str, Any], users: Users) -> dict[str, Any]:  # noqa: ARG003
        """Return the data of a completed record's event, made from what all kinds tell."""
        return data

    @classmethod
    def description(cls, record: Record) -> str | None:  # noqa: ARG003 - most kinds need none
        """Return what the kind, the accounts and the reference do not say, in a few words.

        Statements, events and notifications show it, so it holds nothing that only some of them may know.
        """
        return None

    @classmethod
    def details(cls, record: Record) -> dict[str, Any]:  # noqa: ARG003 - most kinds need none
        """Return the fields of `table.KindDetails` that are the kind's own."""
        return {}

    @classmethod
    def outside_party(cls, record: Record) -> OutsideParty | None:  # noqa: ARG003 - most kinds have none
        """Return who is on the other side outside the bank, if that is known."""
        return None

    @classmethod
    def audit_entry(cls, record: Record, act: Act) -> AuditEntry | None:  # noqa: ARG003 - it is the owner's
        """Nothing: what owners do with their own money is no administrative act."""
        return None


def amount_view(record: Record) -> dict[str, str]:
    """Return the amount of a record that moves money, as events have it."""
    currency = record.data["currency"]
    return {"amount": format_minor(record.data["amount"], currency), "currency": currency}


def event_key(record: Record) -> str:
    """Return the account that money leaves, or the customer's if the bank's own is on one side."""
    sender: str = record.data["from"]
    return record.data["to"] if is_banks_account(sender) else sender


def customers_account(record: Record) -> str:
    """Return the account that is not the bank's own; of a transfer, the receiver's."""
    sender, receiver = record.data["from"], record.data["to"]
    return str(sender if is_banks_account(receiver) else receiver)


def party(record: Record, account_id: str, users: Users) -> dict[str, Any]:
    """Return one side of a record as events have it; a failed one tells only of whose attempt it was."""
    entry = record.entry_of(account_id)
    shown = entry or (record.attempt if record.attempt and record.attempt.account_id == account_id else None)
    return {
        "account_id": account_id,
        "owner": None if shown is None or shown.owner is None else users[shown.owner],
        "sequence": None if entry is None else entry.sequence,
    }


def concerned(record: Record) -> Iterable[UUID]:
    """Return the users whose names its event tells; some come twice."""
    yield record.initiator
    entries = record.entries if record.attempt is None else (record.attempt,)
    for entry in entries:
        if entry.owner is not None:
            yield entry.owner
