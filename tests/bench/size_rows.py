"""What a transfer and a statement page cost in a ledger of millions, against one of 50,000."""

import random
import time

from pymongo import UpdateOne, WriteConcern

from daemons.banking_api.kinds.table import TRANSACTION_KINDS
from daemons.banking_api.ledger.journal import Journal, SealedGroup
from daemons.banking_api.ledger.readers import RecordReader
from tests.bench.comparisons import p50_figure
from tests.bench.contenders import Contender, Counted, keep_in_flight
from tests.bench.engine_rows import engine_contender
from tests.bench.figures import TIMES, Figure, at_most
from tests.bench.ledger import FUNDS_MINOR, SEQUENCE_OF_FUNDED, BenchLedger, running_pipeline
from tests.bench.payments import Books
from tests.bench.samples import paired_ratio, spread_of
from tests.bench.workbench import Workbench, say

_SMALL = 50_000
_BUSY_ACCOUNTS = 200
_PAGE = 50
_LOAD_BATCH = 1_000
_LOAD_CHUNK = 20
_IN_FLIGHT = 256


async def sizes(bench: Workbench) -> list[Figure]:
    """Fill two ledgers, then take turns at paying and at reading full pages of busy accounts."""
    small, large = await bench.ledger("small"), await bench.ledger("large")
    many = bench.options.large_transactions
    await fill(small, _SMALL)
    await fill(large, many)
    # What filling has left to be written is no cost of the payments that are measured.
    await bench.checkpoint()
    async with running_pipeline(small) as small_pipeline, running_pipeline(large) as large_pipeline:
        baseline = engine_contender(small_pipeline, small, small.payments.between_any, in_flight=_IN_FLIGHT)
        measured = engine_contender(large_pipeline, large, large.payments.between_any, in_flight=_IN_FLIGHT)
        await bench.turns(baseline, measured)
    small_pages, large_pages = _reading("50,000 stored", small), _reading(f"{many:,} stored", large)
    await bench.turns(small_pages, large_pages)
    await small.prove()
    await large.prove()
    costs = paired_ratio(baseline.rates, measured.rates)
    rates = [spread_of(side.rates).median for side in (measured, baseline)]
    return [
        Figure(
            row="size-transfer",
            title=f"cost of a transfer, {many:,} stored / 50,000 (engine, {_IN_FLIGHT} in flight)",
            value=costs,
            unit=TIMES,
            bound=at_most(1.3),
            made_of=f"{1e6 / rates[0]:,.0f} us each against {1e6 / rates[1]:,.0f} us",
            data={"measured_per_second": measured.rates, "baseline_per_second": baseline.rates},
        ),
        p50_figure(
            "size-page",
            f"statement page of {_PAGE}, p50, {many:,} stored / 50,000",
            large_pages,
            small_pages,
        ),
    ]


async def fill(ledger: BenchLedger, count: int, books: Books | None = None) -> Books:
    """Write so many decided payments quickly, in sealed groups, then the balances they lead to.

    For the load alone writes are not waited for to be journaled; nothing is measured meanwhile. Returns the
    books, with which the same ledger can be filled further.
    """
    books = books or Books(ledger.owner_of, balance_minor=FUNDS_MINOR, sequence=SEQUENCE_OF_FUNDED)
    head = await Journal(ledger.database).head()
    journal = ledger.database["journal"].with_options(write_concern=WriteConcern(w=1, j=False))

    async def insert(group: SealedGroup) -> None:
        await journal.insert_many(group.documents, ordered=False)

    begun, written = time.monotonic(), 0
    while written < count:
        groups: list[SealedGroup] = []
        for _ in range(min(_LOAD_CHUNK, -(-(count - written) // _LOAD_BATCH))):
            records = books.records(ledger.payments.to_some(_LOAD_BATCH, receivers=_BUSY_ACCOUNTS))
            groups.append(SealedGroup(records, head, at=records[-1].at))
            head = groups[-1].head
        await keep_in_flight(2, groups, insert)
        written += len(groups) * _LOAD_BATCH
        if written % 500_000 == 0:
            say(f"  {written:,} of {count:,} stored, {written / (time.monotonic() - begun):,.0f}/s")
    updates = [
        UpdateOne(
            {"_id": account.id}, {"$set": {"balance": account.balance_minor, "sequence": account.sequence}}
        )
        for account in books.accounts.values()
    ]
    await ledger.database["accounts"].bulk_write(updates, ordered=False)
    ledger.acknowledged += written
    return books


def _reading(name: str, ledger: BenchLedger) -> Contender:
    """The newest page of random busy accounts, one at a time."""
    reader = RecordReader(ledger.client, ledger.database, kinds=TRANSACTION_KINDS)
    choice = random.Random(1)  # noqa: S311 - a repeatable choice guards nothing
    busy = ledger.payments.accounts[:_BUSY_ACCOUNTS]

    async def read(account: str) -> None:
        page, cursor = await reader.history(account, limit=_PAGE, cursor=None)
        if len(page) != _PAGE or cursor is None:
            raise AssertionError(f"a busy account has no full page: {len(page)} lines")

    return Contender(
        name, Counted(lambda count: choice.choices(busy, k=count), read, in_flight=1, first_rate=300)
    )
