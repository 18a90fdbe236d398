"""The parts that rows share, each started when the first row asks for it and stopped with the run."""

import sys
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

from daemons.shared.ids import new_id
from daemons.shared.mongo import Client, connect
from tests.bench.bare_writes import BareInserts, BareTransactions
from tests.bench.contenders import Contender, take_turns
from tests.bench.http_bank import NO_BROKER, HttpBank
from tests.bench.ledger import ACCOUNTS, BenchLedger, create_ledger
from tests.bench.mongo_server import MongoServer
from tests.bench.options import Options
from tests.support.kafka import running_kafka

_BATCH_SIZES = (256, 512, 1000)
_FLIGHTS = (1, 4, 8)
_POOL = 256
CROWD = 10_000


class Workbench:
    """What rows work with."""

    def __init__(self, options: Options, mongo: MongoServer, folder: Path) -> None:
        self.options = options
        self.mongo = mongo
        self.folder = folder
        self.stack = AsyncExitStack()
        self.client: Client = connect(mongo.uri, daemon="bench", max_pool_size=_POOL)
        self._ledgers: dict[str, BenchLedger] = {}
        self._bare: tuple[BareInserts, Contender] | None = None
        self._lone: BareTransactions | None = None
        self._banks: dict[str, HttpBank] = {}
        self._kafka: str | None = None

    async def ledger(self, name: str) -> BenchLedger:
        """A ledger for rows that run the engine in this process: every account has an owner of its own."""
        if name not in self._ledgers:
            owners: list[UUID] = [new_id() for _ in range(ACCOUNTS)]
            self._ledgers[name] = await create_ledger(self.client, name, owners)
        return self._ledgers[name]

    async def bare_inserts(self) -> tuple[BareInserts, Contender]:
        """Baseline (ii) at its best batch size and number in flight, found once per run."""
        if self._bare is None:
            ledger = await self.ledger("engine")
            bare = BareInserts(self.client, "bare", ledger.owner_of)
            await bare.prepare()
            found = []
            for size in _BATCH_SIZES:
                for flights in _FLIGHTS:
                    contender = bare.contender(size=size, flights=flights)
                    await contender.run(self.options.seconds * 0.3)
                    probe = await contender.run(self.options.seconds * 0.5)
                    found.append((probe.rate, contender))
            best = max(found, key=lambda pair: pair[0])[1]
            say(f"  bare inserts: best is {best.name}")
            self._bare = bare, best
        bare, best = self._bare
        return bare, Contender(best.name, best.run)

    async def bare_transactions(self) -> BareTransactions:
        """Lone bare transactions on a ledger that nobody else writes to."""
        if self._lone is None:
            self._lone = BareTransactions(await self.ledger("lone"))
        return self._lone

    async def http_bank(self) -> HttpBank:
        """Real daemons without Kafka: what they tell waits in the journal."""
        return await self._bank("quiet", NO_BROKER)

    async def crowded_bank(self) -> HttpBank:
        """Real daemons without Kafka, and thousands who are signed in."""
        return await self._bank("crowded", NO_BROKER, crowd=CROWD)

    async def telling_bank(self) -> HttpBank:
        """Real daemons with a real Kafka."""
        if self._kafka is None:
            say("starting Kafka")
            self._kafka = self.stack.enter_context(running_kafka(self.folder / "kafka"))
        return await self._bank("telling", self._kafka)

    async def _bank(self, name: str, broker: str, *, crowd: int = 0) -> HttpBank:
        if name not in self._banks:
            bank = HttpBank(name, self.mongo.uri, self.folder, kafka_broker=broker, crowd=crowd)
            self.stack.push_async_callback(bank.close)
            await bank.start(self.client)
            self._banks[name] = bank
        return self._banks[name]

    async def turns(self, *contenders: Contender) -> None:
        """Let them take turns, each from a checkpoint on: the quicker side leaves more to be written back."""
        await take_turns(contenders, self.options, clean_up=self.checkpoint)

    async def checkpoint(self) -> None:
        """Have the database write back all that has changed."""
        await self.client.admin.command("fsync")

    async def close(self) -> None:
        await self.stack.aclose()
        await self.client.close()


def say(text: str) -> None:
    """Tell who waits how far the run is; the results go to standard output."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
