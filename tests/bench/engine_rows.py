"""The pipeline in this process against one transaction per transfer, bare inserts, and a bare transaction."""

from collections.abc import Callable, Sequence
from datetime import datetime

from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.documents import encode, raw, record_document, seal_document
from daemons.banking_api.ledger.journal import Journal, SealedGroup
from daemons.banking_api.ledger.pipeline import Pipeline
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.ledger.seal import Head, Seal
from tests.bench.comparisons import p50_figure, rate_figure
from tests.bench.contenders import Contender, Counted
from tests.bench.figures import Figure, at_least
from tests.bench.ledger import BenchLedger, running_pipeline
from tests.bench.one_by_one import OneByOne
from tests.bench.workbench import Workbench, say

_CONCURRENCIES = (1, 8, 32, 64)
_MANY = 256
_MOST = 2_048
_SINGLE_BATCH = 512
_HOT_BASELINE = 64
Make = Callable[[int], list[Transfer]]


async def random_pairs(bench: Workbench) -> list[Figure]:
    """256 in flight between random pairs, against one transaction each at its best concurrency."""
    ledger = await bench.ledger("engine")
    make = ledger.payments.between_any
    one_by_one = await bench.ledger("one-by-one")
    baseline = await _best_one_by_one(bench, one_by_one)
    async with running_pipeline(ledger) as pipeline:
        measured = engine_contender(pipeline, ledger, make, in_flight=_MANY)
        await bench.turns(baseline, measured)
    await ledger.prove()
    await one_by_one.prove(payments_are_sealed=False)
    return [
        rate_figure("random", "engine, 256 in flight, random pairs / (i)", measured, baseline, at_least(15))
    ]


async def hot_account(bench: Workbench) -> list[Figure]:
    """256 in flight that all pay one account, against one transaction each at 64."""
    ledger = await bench.ledger("engine")
    make = ledger.payments.to_one
    one_by_one = await bench.ledger("one-by-one")
    baseline = _one_by_one(one_by_one, one_by_one.payments.to_one, _HOT_BASELINE, first_rate=40)
    async with running_pipeline(ledger) as pipeline:
        measured = engine_contender(pipeline, ledger, make, in_flight=_MANY)
        await bench.turns(baseline, measured)
    await ledger.prove()
    await one_by_one.prove(payments_are_sealed=False)
    title = "engine, 256 in flight, one account / (i) at 64"
    return [rate_figure("hot", title, measured, baseline, at_least(100))]


async def bare_inserts(bench: Workbench) -> list[Figure]:
    """2,048 in flight against bare inserts of the same journal documents, at their best and one at a time."""
    ledger = await bench.ledger("engine")
    bare, baseline = await bench.bare_inserts()
    single = bare.contender(size=_SINGLE_BATCH, flights=1)
    async with running_pipeline(ledger) as pipeline:
        measured = engine_contender(pipeline, ledger, ledger.payments.between_any, in_flight=_MOST)
        await bench.turns(baseline, measured, single)
    await ledger.prove()
    await bare.prove()
    title = "engine, 2,048 in flight / (ii)"
    return [
        rate_figure("bare", title, measured, baseline, at_least(0.5)),
        rate_figure("bare-single", f"{title} with one insert at a time", measured, single, None),
    ]


async def sealing(bench: Workbench) -> list[Figure]:
    """256 in flight, sealed, against the same engine that writes numbers in place of seals."""
    ledger, unsealed = await bench.ledger("engine"), await bench.ledger("unsealed")
    numbers_only = NumbersOnly(unsealed.database)
    async with running_pipeline(ledger) as pipeline, running_pipeline(unsealed, numbers_only) as other:
        measured = engine_contender(pipeline, ledger, ledger.payments.between_any, in_flight=_MANY)
        baseline = engine_contender(other, unsealed, unsealed.payments.between_any, in_flight=_MANY)
        await bench.turns(baseline, measured)
    await ledger.prove()
    title = f"engine, {_MANY} in flight, sealed / with numbers only"
    return [rate_figure("sealing", title, measured, baseline, at_least(0.95))]


class NumbersOnly(Journal):
    """Numbers groups, which fences, and hashes nothing: no salts, no leaves, no trees."""

    def seal(self, records: Sequence[Record], before: Head, *, at: datetime) -> SealedGroup:
        """Return a group whose seal covers nothing."""
        return _Numbered(records, before, at=at)


class _Numbered(SealedGroup):
    def __init__(self, records: Sequence[Record], before: Head, *, at: datetime) -> None:
        count = before.records + len(records)
        self.records = records
        self.seal = Seal(before.number + 1, b"", b"", count, at, b"", b"")
        self.head = Head(before.number + 1, b"", count, ())
        documents = [encode(record_document(record)) for record in records]
        documents.append(encode(seal_document(self.seal, [record.id for record in records])))
        self.documents = [raw(document) for document in documents]


async def lone_command(bench: Workbench) -> list[Figure]:
    """One command at a time, p50, against one bare transaction: journal, outbox, commit."""
    ledger, bare = await bench.ledger("engine"), await bench.bare_transactions()
    baseline = bare.contender()
    async with running_pipeline(ledger) as pipeline:
        measured = engine_contender(pipeline, ledger, ledger.payments.between_any, in_flight=1)
        await bench.turns(baseline, measured)
    await ledger.prove()
    await bare.prove()
    title = "lone command, p50 / bare transaction"
    return [p50_figure("lone-engine", title, measured, baseline, most=0.85)]


async def _best_one_by_one(bench: Workbench, ledger: BenchLedger) -> Contender:
    found = []
    for concurrency in _CONCURRENCIES:
        contender = _one_by_one(ledger, ledger.payments.between_any, concurrency, first_rate=200)
        await contender.run(bench.options.seconds * 0.3)
        probe = await contender.run(bench.options.seconds * 0.7)
        found.append((probe.rate, contender))
        say(f"  (i) at {concurrency}: {probe.rate:.0f}/s")
    return max(found, key=lambda pair: pair[0])[1]


def _one_by_one(ledger: BenchLedger, make: Make, concurrency: int, *, first_rate: float) -> Contender:
    work = Counted(make, OneByOne(ledger).post, in_flight=concurrency, first_rate=first_rate)
    return Contender(f"one transaction each, {concurrency} at a time", work)


def engine_contender(pipeline: Pipeline, ledger: BenchLedger, make: Make, *, in_flight: int) -> Contender:
    """The pipeline with so many commands in flight."""

    async def post(command: Transfer) -> None:
        ledger.acknowledge(await pipeline.submit(command))

    first_rate = 100 if in_flight == 1 else 2_000
    return Contender(
        f"engine, {in_flight} in flight", Counted(make, post, in_flight=in_flight, first_rate=first_rate)
    )
