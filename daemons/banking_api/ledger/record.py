"""What is asked of the ledger (a command), and what it keeps (a record)."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from daemons.banking_api.ledger.account import Account, Entry
from daemons.contracts.errors import BankError, NotFoundError, RejectedError
from daemons.contracts.names import RecordStatus
from daemons.shared.approvals.approval import Approval
from daemons.shared.audit.record import Actor
from daemons.shared.ids import new_id

Accounts = Mapping[str, Account]
Data = dict[str, Any]
"""What a kind keeps beside the entries: plain values that BSON holds."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a rule refused: a stable code, and a sentence for the initiator. The record of it is kept."""

    code: str
    detail: str


class Move(NamedTuple):
    """What a rule does to one account: a signed amount, and terms that change."""

    account: Account
    amount_minor: int = 0
    change: Mapping[str, Any] | None = None


Ruling = list[Move] | Failure | BankError
"""What a rule says: what moves; a failure that is kept; or an error after which nothing is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Who acts on what is not theirs, and whose request it was if that took two: what the audit keeps."""

    actor: Actor
    approval: Approval | None = None

    @property
    def people(self) -> set[UUID]:
        """Who asked and who approves; one and the same if it took one."""
        asked = None if self.approval is None else self.approval.requester_id
        return {one for one in (self.actor.user_id, asked) if one is not None}


@dataclass(slots=True, kw_only=True)
class Command(ABC):
    """Asks for one thing to happen to accounts; nobody changes it once it is made.

    Each kind is a class of its own, in a file of its own (`kinds/`).
    """

    kind: ClassVar[str]
    id: UUID = field(default_factory=new_id, compare=False)
    """Its record's id: a record under another id means that the key has asked for it before."""
    initiator: UUID
    idempotency_key: str
    act: Act | None = field(default=None, compare=False)
    idempotency_id: bytes = field(init=False)
    """16 bytes for (initiator, key): one lean unique index instead of a compound one on long keys."""
    fingerprint: bytes = field(init=False)
    """16 bytes for what is asked, so that a key used again for something else is noticed."""

    def __post_init__(self) -> None:
        self.idempotency_id = idempotency_id(self.initiator, self.idempotency_key)
        self.fingerprint = _digest(f"{self.kind}\x00{self.content()}".encode())

    @abstractmethod
    def content(self) -> str:
        """Return all that is asked for, unambiguously: two commands with the same content ask the same."""

    @abstractmethod
    def accounts(self) -> tuple[str, ...]:
        """Return the ids of all states that the rule looks at."""

    @abstractmethod
    def decide(self, accounts: Accounts) -> Ruling:
        """Apply the rule to the accounts that exist, and change none of them."""

    @abstractmethod
    def data(self, accounts: Accounts) -> Data:
        """Return what the record keeps; the accounts are as they were before."""

    def attempted_on(self, accounts: Accounts) -> Account | None:  # noqa: ARG002 - the default looks at none
        """Return the account in whose history a failed attempt stands, if there is one."""
        return None


class Record(NamedTuple):
    """One decided command.

    A tuple, as it never changes and hundreds are made for each commit: a frozen dataclass of so many fields
    takes three times as long to make.
    """

    id: UUID
    kind: str
    initiator: UUID
    idempotency_id: bytes
    fingerprint: bytes
    at: datetime
    entries: tuple[Entry, ...]
    data: Data
    failure: Failure | None = None
    attempt: Entry | None = None
    """Of a failed one: the account in whose history it stands, as it was then; it moved nothing."""

    @property
    def status(self) -> RecordStatus:
        """Completed unless a rule refused it."""
        return RecordStatus.COMPLETED if self.failure is None else RecordStatus.FAILED

    def entry_of(self, account_id: str) -> Entry | None:
        """Return what it did to one account, if it did anything."""
        for entry in self.entries:
            if entry.account_id == account_id:
                return entry
        return None


class Outcome(NamedTuple):
    """What became of a command. `key_reused`: the key had been used for another request; nothing was done."""

    record: Record
    replayed: bool = False
    key_reused: bool = False


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def idempotency_id(initiator: UUID, idempotency_key: str) -> bytes:
    """Return the 16 bytes under which what a person has asked for with a key is stored."""
    return _digest(initiator.bytes + idempotency_key.encode())


def key_reused() -> RejectedError:
    """The error for a key that was used before for another request."""
    return RejectedError(
        "idempotency_key_reused",
        "This Idempotency-Key was used before for another request; use a new key for a new request.",
    )


def refusal(failure: Failure, record_id: UUID | None, *, replayed: bool = False) -> BankError:
    """Return the error that tells the initiator of a failure; `replayed` if it was kept before."""
    details = {} if record_id is None else {"transaction_id": str(record_id)}
    kind = NotFoundError if failure.code == "account_not_found" else RejectedError
    return kind(failure.code, failure.detail, details=details, replayed=replayed)
