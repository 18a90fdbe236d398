"""What the tests of the ledger's storage share."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.planting import plant_chosen_bug
from tests.support.ledgers import LedgerProcess, ledger_process


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
