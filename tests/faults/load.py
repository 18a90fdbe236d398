"""A bounded load of transfers and fundings, each under a key of its own, that remembers what it was told."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import aiohttp

from tests.faults import report
from tests.faults.bank_processes import FaultBank, Person
from tests.faults.told import Operation, Verdict
from tests.support.waiting import patience

ACCOUNTS_PER_PERSON = 3
OPENING_MINOR = 1_000_00
BEYOND_EVERY_BALANCE_MINOR = 900_000_00
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
        self.opened_minor = {account: OPENING_MINOR for owned in accounts.values() for account in owned}
        self.random = random.Random(seed)  # noqa: S311 - a run must be repeatable from its seed
        self.addresses: list[str] = []
        self.hot_account: str | None = None
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
            operation = self._draw()
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

    def _draw(self) -> Operation:
        drawn, kind = self.draw_payment(), self.random.random()
        if kind < 0.1:
            return Operation(self.bank.operator, drawn.key, None, drawn.receiver, drawn.minor)
        if kind < 0.2:
            drawn.minor = BEYOND_EVERY_BALANCE_MINOR
        return drawn


async def attempt(operation: Operation, timeout_seconds: float = 12.0, *, at: str | None = None) -> Verdict:
    """Send the operation once and note what is told."""
    try:
        answer = await operation.person.call(
            "POST",
            operation.path,
            operation.body,
            key=operation.key,
            timeout_seconds=timeout_seconds,
            at=at,
        )
    except (aiohttp.ClientError, TimeoutError, OSError):
        return operation.hear_nothing()
    return operation.hear(answer)


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
    return Load(bank, payers, accounts, report.seed() if seed is None else seed)


@asynccontextmanager
async def running_load(bank: FaultBank, **how: float) -> AsyncIterator[Load]:
    """A load that runs while the block does."""
    load = await new_load(bank)
    load.start(**how)  # type: ignore[arg-type]
    try:
        yield load
    finally:
        await load.stop()
