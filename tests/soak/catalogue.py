"""The faults of a soak run: each strikes under load, lasts a while, and is taken back."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.faults.bank_processes import FaultBank
from tests.faults.kafka_server import KafkaServer
from tests.faults.load import Load
from tests.faults.proxy import Mode, Proxy
from tests.faults.replica_set import ReplicaSet

DAEMONS = ("user_api", "banking_api", "banking_api2", "notifier", "notifier2")
BAD_LINES = (Mode.DROP, Mode.RESET, Mode.BLACK_HOLE, Mode.LATENCY, Mode.SLICES, Mode.CUT_BEFORE_ANSWER)
# Replication itself must not starve for longer than the bank waits, so a member's line is not swallowed here.
BAD_DATABASE_LINES = (Mode.RESET, Mode.LATENCY, Mode.CUT_BEFORE_ANSWER)
COMMANDS = ("find", "aggregate", "update", "insert", "commitTransaction")
ERROR_CODES = (91, 112, 189, 251)


@dataclass
class Stage:
    """Everything that can be broken."""

    bank: FaultBank
    replica_set: ReplicaSet
    kafka: KafkaServer
    clients_line: Proxy
    load: Load
    dice: random.Random

    async def go_on(self) -> None:
        """Let a few more operations be settled: while a fault lasts, and after it."""
        await self.load.until_settled(self.dice.randint(3, 15))


Fault = Callable[[Stage], Awaitable[None]]


async def kill_daemon(stage: Stage) -> None:
    victim = stage.bank.daemons[stage.dice.choice(DAEMONS)]
    victim.kill()
    victim.start()


async def pause_daemon(stage: Stage) -> None:
    victim = stage.bank.daemons[stage.dice.choice(("banking_api", "banking_api2", "notifier", "notifier2"))]
    victim.pause()
    await stage.go_on()
    victim.resume()


async def step_down(stage: Stage) -> None:
    await stage.replica_set.until_whole()
    await stage.replica_set.step_down()


async def pause_primary(stage: Stage) -> None:
    await stage.replica_set.until_whole()
    primary = await stage.replica_set.primary()
    primary.pause()
    await stage.replica_set.primary(other_than=primary)
    await stage.go_on()
    primary.resume()


async def kill_primary(stage: Stage) -> None:
    await stage.replica_set.until_whole()
    primary = await stage.replica_set.primary()
    primary.kill()
    await stage.replica_set.primary(other_than=primary)
    await stage.go_on()
    primary.start()


async def part_primary(stage: Stage) -> None:
    await stage.replica_set.until_whole()
    primary = await stage.replica_set.primary()
    stage.replica_set.part(primary)
    await stage.replica_set.primary(other_than=primary)
    await stage.go_on()
    stage.replica_set.join()


async def fail_commands(stage: Stage) -> None:
    primary = await stage.replica_set.primary()
    command, code = stage.dice.choice(COMMANDS), stage.dice.choice((*ERROR_CODES, None))
    how = {"closeConnection": True} if code is None else {"errorCode": code}
    of, times = stage.bank.application("banking_api"), stage.dice.randint(1, 5)
    await primary.fail_commands([command], of=of, times=times, **how)
    await stage.go_on()
    await primary.stop_failing()


async def bad_line_to_clients(stage: Stage) -> None:
    stage.clients_line.set_mode(stage.dice.choice(BAD_LINES))
    await stage.go_on()
    stage.clients_line.set_mode(Mode.PASS)


async def bad_line_to_primary(stage: Stage) -> None:
    primary = await stage.replica_set.primary()
    line = stage.replica_set.proxies[stage.replica_set.members.index(primary)]
    line.set_mode(stage.dice.choice(BAD_DATABASE_LINES))
    # Nothing may be settled meanwhile, so this fault alone lasts for a time.
    await asyncio.sleep(stage.dice.uniform(0.2, 2.0))
    line.set_mode(Mode.PASS)


async def kill_kafka(stage: Stage) -> None:
    stage.kafka.kill()
    await stage.go_on()
    stage.kafka.start()
    await stage.kafka.until_it_serves()


async def pause_kafka(stage: Stage) -> None:
    stage.kafka.pause()
    await stage.go_on()
    stage.kafka.resume()


FAULTS: dict[str, tuple[int, Fault]] = {
    "kill -9 of a daemon": (6, kill_daemon),
    "pause of a daemon": (2, pause_daemon),
    "primary steps down": (2, step_down),
    "primary paused": (1, pause_primary),
    "primary killed": (1, kill_primary),
    "primary parted": (1, part_primary),
    "failCommand": (6, fail_commands),
    "bad line to the clients": (6, bad_line_to_clients),
    "bad line to the primary": (3, bad_line_to_primary),
    "Kafka killed": (1, kill_kafka),
    "Kafka paused": (2, pause_kafka),
}
"""How often each is drawn, and what it does."""
