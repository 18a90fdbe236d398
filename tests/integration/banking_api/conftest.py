"""What the tests of the ledger on a real database share."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from daemons.banking_api.ledger.pipeline import Pipeline
from daemons.banking_api.ledger.record import Record
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


@pytest_asyncio.fixture
async def pipeline(process: LedgerProcess) -> AsyncIterator[Pipeline]:
    """The process's pipeline, which settles at the end what still waits."""
    yield process.pipeline
    async with patience("the pipeline to close", seconds=10):
        await process.pipeline.close()


@pytest.fixture
def committed(process: LedgerProcess) -> list[Record]:
    """What the process was told of its commits, openings and fundings included."""
    return process.committed


@pytest_asyncio.fixture
async def acting(mongo_uri: str, database_name: str) -> AsyncIterator[tuple[LedgerProcess, Acts]]:
    """A process that writes of the acts in a group."""
    acts = Acts()
    async with ledger_process(mongo_uri, database_name, write_acts=acts) as process:
        yield process, acts
        async with patience("the pipeline to close", seconds=10):
            await process.pipeline.close()
