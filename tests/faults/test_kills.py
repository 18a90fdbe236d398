"""kill -9 of everything, under load."""

import time

from tests.faults.bank_processes import FaultBank, another
from tests.faults.invariants import assert_nothing_lost_nothing_twice, watched
from tests.faults.kafka_server import KafkaServer
from tests.faults.load import running_load
from tests.faults.mongo_server import MongoServer
from tests.faults.report import TallyRecorder, dice

VICTIMS_IN_EACH_ROUND = (2, 3, 2, 3, 2, 3, 2, 3)
BETWEEN_KILLS = 8
AWAY_SECONDS = 30
DAEMONS = ("banking_api", "user_api", "notifier")


async def test_killed_daemons_lose_nothing(fault_bank: FaultBank, tallies: TallyRecorder) -> None:
    drawn = dice("killed daemons")
    async with another(fault_bank, "notifier"):
        async with watched(fault_bank), running_load(fault_bank) as load:
            for victims in VICTIMS_IN_EACH_ROUND:
                await load.until_settled(BETWEEN_KILLS)
                await fault_bank.poison(1)
                for victim in drawn.sample(DAEMONS, k=victims):
                    fault_bank.daemons[victim].kill()
                    fault_bank.daemons[victim].start()
            await load.until_settled(BETWEEN_KILLS)
        # The other notifier takes over what the killed one had.
        fault_bank.daemons["notifier"].kill()
        await fault_bank.until_ready("banking_api", "user_api")
        tally = await assert_nothing_lost_nothing_twice(load, notifier="notifier2")
    tallies.add("kill -9 of a daemon", sum(VICTIMS_IN_EACH_ROUND) + 1, tally)


async def test_a_killed_mongod_loses_nothing(
    fault_bank: FaultBank, mongo: MongoServer, tallies: TallyRecorder
) -> None:
    async with watched(fault_bank), running_load(fault_bank) as load:
        for _ in range(3):
            await load.until_settled(BETWEEN_KILLS)
            mongo.kill()
            mongo.start()
        await load.until_settled(BETWEEN_KILLS)
    await fault_bank.heal()
    tallies.add("kill -9 of the only mongod", 3, await assert_nothing_lost_nothing_twice(load))


async def test_a_paused_a_killed_and_an_absent_kafka_lose_nothing(
    fault_bank: FaultBank, kafka: KafkaServer, tallies: TallyRecorder
) -> None:
    async with watched(fault_bank), running_load(fault_bank) as load:
        for _ in range(2):
            await load.until_settled(BETWEEN_KILLS)
            await fault_bank.poison(2)
            kafka.pause()
            await load.until_settled(BETWEEN_KILLS)
            kafka.resume()
            await load.until_settled(BETWEEN_KILLS)
            kafka.kill()
            kafka.start()
            await kafka.until_it_serves()
            await load.until_settled(BETWEEN_KILLS)
            kafka.kill()
            back = time.monotonic() + AWAY_SECONDS
            while time.monotonic() < back:
                # Nobody's payment waits for a broker.
                await load.until_settled(BETWEEN_KILLS)
            kafka.start()
            await kafka.until_it_serves()
    await fault_bank.heal()
    tallies.add("Kafka paused, killed, away for 30 s", 6, await assert_nothing_lost_nothing_twice(load))
