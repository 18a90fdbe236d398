"""The journal: what is asked of it (a command) and what it keeps (a journal transaction with its entries)."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from daemons.contracts.errors import BankError, NotFoundError, RejectedError
from daemons.shared.approvals.approval import Approval
from daemons.shared.audit.record import Actor

_SETTLEMENT_PREFIX = "settlement:"
_ADJUSTMENT_PREFIX = "adjustment:"
_SYSTEM_PREFIXES = (_SETTLEMENT_PREFIX, _ADJUSTMENT_PREFIX)


class TransactionKind(StrEnum):
    """What a journal transaction records."""

    TRANSFER = "transfer"
    FUNDING = "funding"
    ADJUSTMENT = "adjustment"


class TransactionStatus(StrEnum):
    """Completed transactions have entries, failed ones a failure; neither ever changes."""

    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class BookingAct:
    """Who books by hand, and whose request it was if that took two: what the audit tells of it.

    `alone_limit_minor` is what the actor may fund alone within a day; None where that is not bounded.
    """

    actor: Actor
    approval: Approval | None = None
    alone_limit_minor: int | None = None


@dataclass(slots=True, kw_only=True)
class PostingCommand:
    """Asks to move an amount from one account to another; nobody changes it once it is made.

    `sender_owner` is who must own the sender's account; None for what staff book, where one side is the
    bank's own account and the right to do it was checked before. `corrects` names the transaction that an
    adjustment sets right.
    """

    kind: TransactionKind
    initiator: UUID
    sender_owner: UUID | None
    idempotency_key: str
    from_account: str
    to_account: str
    amount_minor: int
    currency: str
    reference: str | None
    act: BookingAct | None = field(default=None, compare=False)
    corrects: UUID | None = None
    idempotency_id: bytes = field(init=False)
    """16 bytes for (initiator, key): one lean unique index instead of a compound one on long keys."""
    fingerprint: bytes = field(init=False)
    """16 bytes for what is asked, so that a key used again for something else is noticed."""

    def __post_init__(self) -> None:
        self.idempotency_id = idempotency_id(self.initiator, self.idempotency_key)
        reference = "" if self.reference is None else f"={self.reference}"
        corrects = "" if self.corrects is None else f"\x00{self.corrects}"
        self.fingerprint = _digest(
            f"{self.kind.value}\x00{self.from_account}\x00{self.to_account}\x00{self.amount_minor}\x00"
            f"{self.currency}\x00{reference}{corrects}".encode()
        )


class Entry(NamedTuple):
    """One account's side: a signed amount, the balance after it, the account's own count of entries."""

    account_id: str
    amount_minor: int
    balance_after_minor: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a business rule refused: a stable code, and a sentence for the initiator."""

    code: str
    detail: str


class JournalTransaction(NamedTuple):
    """One decided command. The entries of a completed one sum to zero; a failed one has none.

    A tuple, as it never changes and hundreds are made for each commit: a frozen dataclass of so many fields
    takes three times as long to make.
    """

    id: UUID
    kind: TransactionKind
    initiator: UUID
    idempotency_id: bytes
    fingerprint: bytes
    from_account: str
    to_account: str
    from_owner: UUID | None
    to_owner: UUID | None
    amount_minor: int
    currency: str
    reference: str | None
    entries: tuple[Entry, ...]
    failure: Failure | None
    created_at: datetime
    corrects: UUID | None = None
    attempt: Entry | None = None
    """Of a failed one: the account in whose history it stands, as it was then; it moved nothing."""

    @property
    def status(self) -> TransactionStatus:
        """Completed unless a rule refused it."""
        return TransactionStatus.COMPLETED if self.failure is None else TransactionStatus.FAILED

    @property
    def customers_account(self) -> str:
        """The account that is not the bank's own; of a transfer, the receiver's."""
        return self.from_account if is_system_account(self.to_account) else self.to_account

    def entry_of(self, account_id: str) -> Entry | None:
        """Return the side of one account, if it has one here."""
        for entry in self.entries:
            if entry.account_id == account_id:
                return entry
        return None


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def idempotency_id(initiator: UUID, idempotency_key: str) -> bytes:
    """Return the 16 bytes under which what a person has asked for with a key is stored."""
    return _digest(initiator.bytes + idempotency_key.encode())


def settlement_account(currency: str) -> str:
    """Return the id of the system account through which a currency enters and leaves the bank."""
    return _SETTLEMENT_PREFIX + currency


def adjustment_account(currency: str) -> str:
    """Return the id of the system account against which the bank corrects balances of a currency."""
    return _ADJUSTMENT_PREFIX + currency


def is_system_account(account_id: str) -> bool:
    """Tell whether the id is one of the bank's own accounts; no customer's number looks like one."""
    return account_id.startswith(_SYSTEM_PREFIXES)


def key_reused() -> RejectedError:
    """The error for a key that was used before for another request."""
    return RejectedError(
        "idempotency_key_reused",
        "This Idempotency-Key was used before for another request; use a new key for a new request.",
    )


def refusal(failure: Failure, transaction_id: UUID | None, *, replayed: bool = False) -> BankError:
    """Return the error that tells the initiator of a failure; `replayed` if it was kept before."""
    details = {} if transaction_id is None else {"transaction_id": str(transaction_id)}
    kind = NotFoundError if failure.code == "account_not_found" else RejectedError
    return kind(failure.code, failure.detail, details=details, replayed=replayed)
