"""From a commit to the notifier's effect: how late at a steady pace, how soon caught up after full rate."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from daemons.banking_api.ledger.journal import Journal
from daemons.shared.mongo import Client, Database
from tests.bench.figures import Figure, at_most
from tests.bench.http_bank import HttpBank
from tests.bench.http_rows import CONNECTIONS
from tests.bench.samples import Spread, quantile
from tests.bench.workbench import Workbench
from tests.support.waiting import eventually, patience

_PER_SECOND = 200
_LAG_POLL_SECONDS = 0.02
_CATCHING_UP_SECONDS = 300
"""The first time there are the events of all accounts and their funds."""


class EffectWatch:
    """Notes when each notification is there, majority-committed, as a change stream tells it."""

    def __init__(self, notifier: Database) -> None:
        self._notifications = notifier["notifications"]
        self.seen_at: dict[UUID, float] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        watching = asyncio.Event()
        task = asyncio.create_task(self._watch(watching))
        await watching.wait()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self, watching: asyncio.Event) -> None:
        pipeline: list[dict[str, Any]] = [
            {"$match": {"operationType": "insert"}},
            {"$project": {"fullDocument.event_id": 1}},
        ]
        async with await self._notifications.watch(pipeline, max_await_time_ms=1000) as changes:
            watching.set()
            async for change in changes:
                self.seen_at[change["fullDocument"]["event_id"]] = time.time()


class CommitTimes:
    """Notes when each document of a collection was committed, as MongoDB's log of operations has it."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self.committed_at: dict[UUID, float] = {}

    @asynccontextmanager
    async def noted(self) -> AsyncIterator[None]:
        """Read the log once the block has ended: what is measured in it is not disturbed."""
        begun = (await self._client.admin.command("hello"))["lastWrite"]["opTime"]["ts"]
        yield
        since = {"ts": {"$gt": begun}, "o.applyOps.ns": self._namespace}
        async for transaction in self._client["local"]["oplog.rs"].find(since):
            for change in transaction["o"]["applyOps"]:
                if change["ns"] == self._namespace:
                    self.committed_at[change["o"]["_id"]] = transaction["wall"].timestamp()


async def effects(bench: Workbench) -> list[Figure]:
    """200 payments a second, then full rate, with the relay, a real Kafka and a real notifier."""
    bank = await bench.telling_bank()
    notifier = bench.client[bank.notifier_database]
    options = bench.options
    with bank.daemon() as daemon, bank.notifier():
        await until_all_is_effected(bank, notifier)
        await bank.load(daemon, connections=CONNECTIONS, seconds=1, requests_per_second=_PER_SECOND)
        await until_all_is_effected(bank, notifier)
        watch = EffectWatch(notifier)
        commits = CommitTimes(bench.client, f"{bank.database}.journal")
        async with watch.running(), commits.noted():
            seconds = options.seconds * options.rounds
            report = await bank.load(
                daemon, connections=CONNECTIONS, seconds=seconds, requests_per_second=_PER_SECOND
            )
            ids = [UUID(transaction) for transaction, _ in report.transactions]
            await eventually(lambda: _seen(watch, ids))
        lags = [watch.seen_at[transaction] - commits.committed_at[transaction] for transaction in ids]
        since_decided = [
            watch.seen_at[UUID(transaction)] - datetime.fromisoformat(decided).timestamp()
            for transaction, decided in report.transactions
        ]
        await until_all_is_effected(bank, notifier)
        full = await bank.load(daemon, connections=CONNECTIONS, seconds=seconds)
        begun = time.perf_counter()
        records = (await Journal(bank.ledger.database).head()).records
        behind = records - await notifier["events"].estimated_document_count()
        await until_all_is_effected(bank, notifier)
        drained = time.perf_counter() - begun
    await bank.ledger.prove()
    made_of = (
        f"{len(lags):,} payments; from the commit to the notification's; from the decision before it: "
        f"{quantile(since_decided, 0.5) * 1000:.1f}, {quantile(since_decided, 0.99) * 1000:.1f} ms"
    )
    rate = full.acknowledged / full.seconds
    return [
        _figure(
            "effect-p50", "commit to effect at 200/s, p50", quantile(lags, 0.5) * 1000, "ms", 50, made_of
        ),
        _figure(
            "effect-p99", "commit to effect at 200/s, p99", quantile(lags, 0.99) * 1000, "ms", 500, made_of
        ),
        _figure(
            "drain",
            "lag after full rate, until all effects are there",
            drained,
            "s",
            10,
            f"{full.acknowledged:,} payments at {rate:,.0f}/s; {behind:,} behind when it stopped",
        ),
    ]


async def _seen(watch: EffectWatch, ids: list[UUID]) -> bool:
    return all(transaction in watch.seen_at for transaction in ids)


async def until_all_is_effected(bank: HttpBank, notifier: Database) -> None:
    """Wait for one event per record of the journal: it is kept with its notification."""
    journal = Journal(bank.ledger.database)

    async with patience("all effects", seconds=_CATCHING_UP_SECONDS):
        # What is waited for happens in other processes.
        while (  # noqa: ASYNC110 - same
            await notifier["events"].estimated_document_count() < (await journal.head()).records
        ):
            await asyncio.sleep(_LAG_POLL_SECONDS)


def _figure(row: str, title: str, value: float, unit: str, limit: float, made_of: str) -> Figure:
    return Figure(
        row=row,
        title=title,
        value=Spread(value, value, value),
        unit=unit,
        bound=at_most(limit),
        made_of=made_of,
    )
