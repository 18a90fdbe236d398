"""What fronts ask of the ledger, wherever it runs."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from daemons.banking_api.ledger.batches import Batch
from daemons.banking_api.ledger.record import Command, Outcome


class Ledger(Protocol):
    """Carries commands out, in the order in which they come."""

    async def submit(self, command: Command) -> Outcome:
        """Wait until the command is settled; see `Pipeline.submit`."""

    def enqueue(self, command: Command, batch: Batch | None = None) -> asyncio.Future[Outcome]:
        """Let the command wait for its group; see `Pipeline.enqueue`."""

    def enqueue_atomic(
        self, commands: Sequence[Command], batch: Batch | None = None
    ) -> list[asyncio.Future[Outcome]]:
        """Let commands wait that are done all or none; see `Pipeline.enqueue_atomic`."""
