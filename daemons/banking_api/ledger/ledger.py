"""What fronts ask of the ledger, wherever it runs."""

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol
from uuid import UUID

from daemons.banking_api.ledger.record import Command, Outcome
from daemons.contracts.errors import BankError, Category, TransientError
from daemons.contracts.names import Code


class LedgerMovedError(Exception):
    """Another process is the ledger now. What has no answer may have been done, if it had left this one.

    A lone command is sent again under its own id, which tells it from a replay.
    """


class NotTakenError(LedgerMovedError):
    """Another process is the ledger now, and this command was not carried out."""


class BatchTurn(Protocol):
    """When a batch may begin, and where it tells that it has begun; see `batches.Turn`."""

    @property
    def has_come(self) -> bool:
        """Whether it may begin without waiting."""

    async def come(self) -> None:
        """Wait until it may begin; raises ConflictError if it must not."""

    def begun(self) -> None:
        """Tell that every row waits to be decided."""

    def note(self, error: BankError) -> None:
        """Note why a row could not wait to be decided."""

    def check(self, outcomes: Iterable[object]) -> None:
        """Raise ConflictError if nothing was done because the batch before was not settled."""


class Ledger(Protocol):
    """Carries commands out, in the order in which they come."""

    async def submit(self, command: Command) -> Outcome:
        """Wait until the command is settled; see `Pipeline.submit`."""

    def turn(self, user_id: UUID, *, last_key: str, after: str | None) -> AbstractContextManager[BatchTurn]:
        """Give a batch its turn; see `Batches.turn`."""

    def enqueue(self, command: Command, turn: BatchTurn) -> asyncio.Future[Outcome]:
        """Let a command of a batch wait for its group; see `Pipeline.enqueue`."""

    def enqueue_atomic(self, commands: Sequence[Command], turn: BatchTurn) -> list[asyncio.Future[Outcome]]:
        """Let commands wait that are done all or none; see `Pipeline.enqueue_atomic`."""


def no_ledger() -> TransientError:
    """The error when no process is the ledger, and nothing was done."""
    return TransientError(
        "unavailable",
        "No process is the ledger at the moment; nothing was done, try again.",
        retry_after_seconds=1,
    )


def settles(error: BankError) -> bool:
    """Tell whether an error says what became of a command, also if it was sent before."""
    says_nothing = {Category.TRANSIENT, Category.OUTCOME_UNKNOWN}
    return error.category not in says_nothing and error.code not in {"internal", Code.KEY_IN_USE}
