"""A bounded load that remembers what it was told.

Transfers, fundings, withdrawals and reversals, each under a key of its own; atomic batches; openings;
freezing and unfreezing.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import aiohttp

from tests.faults import report
from tests.faults.bank_processes import FaultBank, Person
from tests.faults.told import AtomicBatch, Changes, OpeningAsked, Operation, Verdict
from tests.support.waiting import patience

UNREACHABLE = (aiohttp.ClientError, TimeoutError, OSError)
ACCOUNTS_PER_PERSON = 3
OPENING_MINOR = 1_000_00
BEYOND_EVERY_BALANCE_MINOR = 900_000_00
_BATCH_ROWS = 3
_OTHER_SHARE = 0.15
_BATCH_SHARE, _OPENING_SHARE = 0.45, 0.1
"""Of the others; the rest freezes and unfreezes."""
_FUNDED_SHARE, _REFUSED_SHARE, _WITHDRAWN_SHARE, _REVERSED_SHARE = 0.1, 0.1, 0.1, 0.1
"""Of the operations; the rest are transfers that the sender can pay."""
_REVERSED_OF_LAST = 20
"""So few that some are reversed several times, beyond what is left of them."""
_PAUSE_AFTER_A_FAULT_SECONDS = 0.3


class Load:
    """Workers that pay at random between accounts of a few people, until told to stop."""

    def __init__(
        self, bank: FaultBank, people: Sequence[Person], accounts: dict[str, list[str]], seed: int
    ) -> None:
        self.bank = bank
        self.people = list(people)
        self.accounts = accounts
        self.operations: list[Operation] = []
        self.batches: list[AtomicBatch] = []
        self.openings: list[OpeningAsked] = []
        self.changes: list[Changes] = []
        self.opened_minor = {account: OPENING_MINOR for owned in accounts.values() for account in owned}
        self.random = random.Random(seed)  # noqa: S311 - a run must be repeatable from its seed
        self.addresses: list[str] = []
        self.hot_account: str | None = None
        self._changing: list[Changes] = []
        self._stopping = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []

    def start(self, *, workers: int = 6, timeout_seconds: float = 12.0, pause_seconds: float = 0.01) -> None:
        """Begin; every worker has at most one request under way."""
        self._stopping.clear()
        self._workers = [
            asyncio.create_task(self._work(timeout_seconds, pause_seconds)) for _ in range(workers)
        ]

    async def stop(self) -> None:
        """End the workers after their request under way. An answer that no rule allows is raised here."""
        self._stopping.set()
        await asyncio.gather(*self._workers)

    async def until_settled(self, count: int) -> None:
        """Wait until so many more operations have been told their outcome."""
        wanted = self.settled_count() + count
        async with patience(f"{count} more operations to be settled", found=self._last_verdicts):
            while self.settled_count() < wanted:
                for worker in self._workers:
                    if worker.done():
                        worker.result()
                await asyncio.sleep(0.01)

    def _last_verdicts(self) -> list[list[Verdict]]:
        return [operation.verdicts for operation in self.operations[-2 * len(self._workers) :]]

    def settled_count(self) -> int:
        return sum(operation.settled is not None for operation in self.operations)

    async def _work(self, timeout_seconds: float, pause_seconds: float) -> None:
        while not self._stopping.is_set():
            if self.random.random() < _OTHER_SHARE:
                await self.do_something_else(timeout_seconds, at=self._address())
                await asyncio.sleep(pause_seconds)
                continue
            operation = self.draw()
            self.operations.append(operation)
            # Half of those who are told nothing ask again at once, as impatient people do.
            for _ in range(self.random.choice((1, 2))):
                verdict = await attempt(operation, timeout_seconds, at=self._address())
                if verdict in {Verdict.COMPLETED, Verdict.FAILED}:
                    break
                await asyncio.sleep(_PAUSE_AFTER_A_FAULT_SECONDS)
            await asyncio.sleep(pause_seconds)

    def _address(self) -> str | None:
        return self.random.choice(self.addresses) if self.addresses else None

    def draw_payment(self) -> Operation:
        """A new transfer between accounts drawn at random, with a key of its own; it has not been sent."""
        person = self.random.choice(self.people)
        sender = self.random.choice(self.accounts[person.user_id])
        receiver = self.random.choice([account for account in self.opened_minor if account != sender])
        if self.hot_account is not None and self.hot_account != sender:
            receiver = self.hot_account
        return Operation(person, str(uuid4()), sender, receiver, self.random.randint(1, 9_99))

    def draw_batch(self) -> AtomicBatch:
        """Payments of one person that are done all or none; of one in four a row is beyond every balance."""
        rows = [self.draw_payment() for _ in range(_BATCH_ROWS)]
        for row in rows[1:]:
            row.person, row.sender = rows[0].person, rows[0].sender
            row.receiver = rows[0].receiver
        impossible = self.random.random() < 0.25
        if impossible:
            rows[-1].minor = BEYOND_EVERY_BALANCE_MINOR
        return AtomicBatch(rows, impossible)

    async def do_something_else(self, timeout_seconds: float, *, at: str | None = None) -> Verdict:
        """Send an atomic batch, open an account or change one, once."""
        drawn = self.random.random()
        if drawn < _BATCH_SHARE:
            self.batches.append(batch := self.draw_batch())
            return await attempt_batch(batch, timeout_seconds, at=at)
        free = [changes for changes in self.changes if changes not in self._changing]
        if drawn < _BATCH_SHARE + _OPENING_SHARE or not free:
            self.openings.append(asked := OpeningAsked(self.random.choice(self.people), str(uuid4())))
            return await attempt_opening(asked, timeout_seconds, at=at)
        changes = self.random.choice(free)
        self._changing.append(changes)
        try:
            return await change(changes, timeout_seconds, at=at)
        finally:
            self._changing.remove(changes)

    def draw(self) -> Operation:
        """A new operation of any kind, as `draw_payment` draws its accounts; it has not been sent."""
        drawn, kind = self.draw_payment(), self.random.random()
        if kind < _FUNDED_SHARE:
            drawn.person, drawn.sender = self.bank.operator, None
        elif kind < _FUNDED_SHARE + _REFUSED_SHARE:
            drawn.minor = BEYOND_EVERY_BALANCE_MINOR
        elif kind < _FUNDED_SHARE + _REFUSED_SHARE + _WITHDRAWN_SHARE:
            drawn.receiver = None
        elif kind < _FUNDED_SHARE + _REFUSED_SHARE + _WITHDRAWN_SHARE + _REVERSED_SHARE:
            return self._draw_reversal() or drawn
        return drawn

    def _draw_reversal(self) -> Operation | None:
        """Take back part of what was done lately; of some, more than is left, which must be refused."""
        lately = [
            one
            for one in self.operations[-_REVERSED_OF_LAST:]
            if one.settled is Verdict.COMPLETED and one.sender is not None and one.reverses is None
        ]
        if not lately:
            return None
        original = self.random.choice(lately)
        minor = self.random.randint(1, original.minor)
        return Operation(
            self.bank.operator, str(uuid4()), original.receiver, original.sender, minor, original
        )


async def attempt(operation: Operation, timeout_seconds: float = 12.0, *, at: str | None = None) -> Verdict:
    """Send the operation once and note what is told."""
    return await _send(operation, "POST", operation.path, operation.body, operation.key, timeout_seconds, at)


async def attempt_batch(
    batch: AtomicBatch, timeout_seconds: float = 12.0, *, at: str | None = None
) -> Verdict:
    """Send the batch once and note what is told."""
    return await _send(batch, "POST", "/transactions/batch", batch.body, None, timeout_seconds, at)


async def attempt_opening(
    asked: OpeningAsked, timeout_seconds: float = 12.0, *, at: str | None = None
) -> Verdict:
    """Ask once for the account and note what is told."""
    body = {"type": "checking", "currency": "EUR", "name": asked.key}
    return await _send(asked, "POST", "/accounts", body, asked.key, timeout_seconds, at)


async def change(changes: Changes, timeout_seconds: float = 12.0, *, at: str | None = None) -> Verdict:
    """Freeze the account, or unfreeze it, and note what is told."""
    return await _send(changes, "PATCH", changes.path, {"reason": "a test"}, None, timeout_seconds, at)


async def _send(
    asked: Operation | AtomicBatch | OpeningAsked | Changes,
    method: str,
    path: str,
    body: object,
    key: str | None,
    timeout_seconds: float,
    at: str | None,
) -> Verdict:
    try:
        answer = await asked.person.call(method, path, body, key=key, timeout_seconds=timeout_seconds, at=at)
    except UNREACHABLE:
        return asked.hear_nothing()
    return asked.hear(answer)


async def new_load(
    bank: FaultBank, *, people: int = 2, accounts_each: int = ACCOUNTS_PER_PERSON, seed: int | None = None
) -> Load:
    """People with funded accounts, and a load over them that has not started; drawn from the run's seed."""
    payers = [await bank.register(name) for name in ("alice", "bob", "carol", "dave")[:people]]
    accounts: dict[str, list[str]] = {}
    for payer in payers:
        accounts[payer.user_id] = [await payer.open_account() for _ in range(accounts_each)]
        for account in accounts[payer.user_id]:
            await bank.fund(account, OPENING_MINOR)
    load = Load(bank, payers, accounts, report.seed() if seed is None else seed)
    load.changes = [Changes(bank.operator, await payer.open_account()) for payer in payers]
    return load


@asynccontextmanager
async def running_load(bank: FaultBank, **how: float) -> AsyncIterator[Load]:
    """A load that runs while the block does."""
    load = await new_load(bank)
    load.start(**how)  # type: ignore[arg-type]
    try:
        yield load
    finally:
        await load.stop()
