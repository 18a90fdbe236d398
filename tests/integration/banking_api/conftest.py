"""What the tests of the ledger's storage share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from daemons.banking_api.domain.journal import JournalTransaction
from daemons.banking_api.services.commit_engine import CommitEngine

from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from tests.faults.planting import plant_chosen_bug
from tests.support.ledgers import Acts, LedgerProcess, ledger_process
from tests.support.waiting import patience


@pytest.fixture(scope="package", autouse=True)
def planted() -> None:
    """Some of the bugs that the suite must catch are caught here (tests.soak.planted)."""
    plant_chosen_bug()


@pytest_asyncio.fixture
async def process(mongo_uri: str, database_name: str) -> AsyncIterator[LedgerProcess]:
    """A process over a ledger of its own, which is proved in the end."""
    async with ledger_process(mongo_uri, database_name) as one:
        yield one
        proof = await one.prove()
        assert proof.holds, proof.mismatches
        await one.database.client.drop_database(database_name)


@pytest.fixture
def committed() -> list[JournalTransaction]:
    """What the engine has told of its commits."""
    return []


@pytest_asyncio.fixture
async def engine(process: LedgerProcess, committed: list[JournalTransaction]) -> AsyncIterator[CommitEngine]:
    """An engine that posts to the process's ledger."""
    async with running_engine(process, committed) as made:
        yield made


@pytest_asyncio.fixture
async def acting(
    mongo_uri: str, database_name: str, committed: list[JournalTransaction]
) -> AsyncIterator[tuple[LedgerProcess, CommitEngine, Acts]]:
    """A process and its engine, with a witness of administrative acts."""
    acts = Acts()
    async with (
        ledger_process(mongo_uri, database_name, witness=acts) as process,
        running_engine(process, committed) as made,
    ):
        yield process, made, acts


@asynccontextmanager
async def running_engine(
    process: LedgerProcess, committed: list[JournalTransaction]
) -> AsyncIterator[CommitEngine]:
    made = CommitEngine(process.ledger, clock=utc_now, new_id=new_id, committed=committed.extend)
    made.start()
    yield made
    async with patience("the engine to close", seconds=10):
        await made.close()
