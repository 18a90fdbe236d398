"""A bank of real processes over servers of its own, for the tests that break them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.bank_processes import FaultBank, running_bank, running_servers
from tests.faults.kafka_server import KafkaServer
from tests.faults.mongo_server import MongoServer
from tests.support.stack import stack

__all__ = ["stack"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[MongoServer, KafkaServer]]:
    """A MongoDB and a Kafka that tests may kill."""
    async with running_servers(tmp_path_factory.mktemp("servers")) as running:
        yield running


@pytest.fixture(scope="session")
def mongo(servers: tuple[MongoServer, KafkaServer]) -> MongoServer:
    return servers[0]


@pytest.fixture(scope="session")
def kafka(servers: tuple[MongoServer, KafkaServer]) -> KafkaServer:
    return servers[1]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_bank(
    mongo: MongoServer, kafka: KafkaServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[FaultBank]:
    """One process of each daemon. Topics and consumer group serve one bank at a time: others stop it."""
    async with running_bank(tmp_path_factory.mktemp("bank"), mongo.uri, kafka.address) as bank:
        yield bank


@pytest_asyncio.fixture
async def fault_bank(shared_bank: FaultBank) -> FaultBank:
    """The shared bank, every daemon of it ready."""
    await shared_bank.heal()
    return shared_bank
