"""A replica set of three that loses its primary in every way, under load."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.bank_processes import FaultBank, running_bank
from tests.faults.invariants import assert_nothing_lost_nothing_twice, watched
from tests.faults.kafka_server import KafkaServer
from tests.faults.load import Load, running_load
from tests.faults.replica_set import ReplicaSet, running_replica_set
from tests.faults.report import TallyRecorder

BETWEEN_FAULTS = 8
TIMES = 3


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replica_set(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ReplicaSet]:
    async with running_replica_set(tmp_path_factory.mktemp("replicas")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replicated_bank(
    replica_set: ReplicaSet,
    kafka: KafkaServer,
    shared_bank: FaultBank,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[FaultBank]:
    await shared_bank.stop()
    await kafka.forget()
    folder = tmp_path_factory.mktemp("replicated")
    async with running_bank(folder, replica_set.uri, kafka.address) as bank:
        await bank.until_ready()
        yield bank
    await kafka.forget()


@pytest.mark.parametrize("fault", ["stepdown", "pause", "kill", "partition"])
async def test_a_lost_primary_loses_nothing(
    replicated_bank: FaultBank, replica_set: ReplicaSet, fault: str, tallies: TallyRecorder
) -> None:
    async with watched(replicated_bank), running_load(replicated_bank) as load:
        for _ in range(TIMES):
            await replica_set.until_whole()
            await load.until_settled(BETWEEN_FAULTS)
            await strike(replica_set, fault, load)
            await load.until_settled(BETWEEN_FAULTS)
    await replicated_bank.heal()
    tallies.add(f"primary of three: {fault}", TIMES, await assert_nothing_lost_nothing_twice(load))


async def strike(replica_set: ReplicaSet, fault: str, load: Load) -> None:
    """Take the primary away, see the bank work with another one, and give it back."""
    primary = await replica_set.primary()
    try:
        if fault == "stepdown":
            await replica_set.step_down()
        elif fault == "pause":
            primary.pause()
        elif fault == "kill":
            primary.kill()
        else:
            replica_set.part(primary)
        await replica_set.primary(other_than=primary)
        await load.until_settled(BETWEEN_FAULTS)
    finally:
        if fault == "pause":
            primary.resume()
        elif fault == "kill":
            primary.start()
        elif fault == "partition":
            replica_set.join()
