"""What networks and databases do to single conversations: cut, reset, swallow, delay, slice, and refuse."""

import asyncio

from tests.faults.bank_processes import FaultBank, another
from tests.faults.invariants import assert_nothing_lost_nothing_twice, watched
from tests.faults.load import BEYOND_EVERY_BALANCE_MINOR, Load, attempt, running_load
from tests.faults.mongo_server import MongoServer
from tests.faults.proxy import Mode, Proxy, running_proxy
from tests.faults.report import TallyRecorder
from tests.support.waiting import eventually

FAULTS = [mode for mode in Mode if mode is not Mode.PASS]
COMMANDS = ["find", "aggregate", "update", "insert", "commitTransaction"]
# ShutdownInProgress, WriteConflict, PrimarySteppedDown, NoSuchTransaction.
ERROR_CODES = [91, 112, 189, 251]
INTERRUPTED_AT_SHUTDOWN, MAX_TIME_EXPIRED = 11600, 50
AFTER_EACH = 6


async def test_a_bad_line_to_the_clients_loses_nothing(fault_bank: FaultBank, tallies: TallyRecorder) -> None:
    port = int(fault_bank.banking_api.rpartition(":")[2])
    async with running_proxy(port) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        async with watched(fault_bank), running_load(fault_bank, timeout_seconds=1.5) as load:
            load.addresses = [address]
            await through_every_fault(proxy, load)
    tally = await assert_nothing_lost_nothing_twice(load)
    tallies.add(f"line to the clients: {', '.join(FAULTS)}", len(FAULTS), tally)


async def test_a_bad_line_to_the_database_loses_nothing(
    fault_bank: FaultBank, mongo: MongoServer, tallies: TallyRecorder
) -> None:
    async with running_proxy(mongo.port) as proxy:
        uri = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        async with another(fault_bank, "banking_api", mongo_uri=uri) as address:
            async with watched(fault_bank), running_load(fault_bank) as load:
                load.addresses = [address]
                await through_every_fault(proxy, load)
            tally = await assert_nothing_lost_nothing_twice(load)
    tallies.add(f"line to the database: {', '.join(FAULTS)}", len(FAULTS), tally)


async def through_every_fault(proxy: Proxy, load: Load) -> None:
    """Let each fault strike a few times, with good times between."""
    for mode in FAULTS:
        await load.until_settled(AFTER_EACH)
        before = proxy.struck
        proxy.set_mode(mode)

        async def struck(before: int = before) -> bool:
            return proxy.struck > before + 2

        await eventually(struck)
        proxy.set_mode(Mode.PASS)
    await load.until_settled(AFTER_EACH)


async def test_failing_commands_lose_nothing(
    fault_bank: FaultBank, mongo: MongoServer, tallies: TallyRecorder
) -> None:
    """Two processes write to every account, so that accounts are searched for and written down as well."""
    struck, of = 0, fault_bank.application("banking_api")
    async with another(fault_bank, "banking_api") as second:
        async with watched(fault_bank), running_load(fault_bank) as load:
            load.addresses = [fault_bank.banking_api, second]
            for command in COMMANDS:
                for how in ({"closeConnection": True}, *({"errorCode": code} for code in ERROR_CODES)):
                    await mongo.fail_commands([command], of=of, times=2, **how)
                    await mongo.until_one_has_failed()
                    await load.until_settled(4)
                    struck += await mongo.stop_failing()
        tally = await assert_nothing_lost_nothing_twice(load)
    fault = f"failCommand: close, 91, 112, 189, 251 on {', '.join(COMMANDS)}"
    tallies.add(fault, struck, tally)


async def test_commits_of_unknown_outcome_lose_nothing(
    fault_bank: FaultBank, mongo: MongoServer, tallies: TallyRecorder
) -> None:
    """The commit is done and its acknowledgement fails, so that the daemon retries it or gives up."""
    struck, of = 0, fault_bank.application("banking_api")
    async with watched(fault_bank), running_load(fault_bank) as load:
        for code, times in ((INTERRUPTED_AT_SHUTDOWN, 1), (MAX_TIME_EXPIRED, 30)):
            concern = {"code": code, "errmsg": "by the fault tests"}
            await mongo.fail_commands(["commitTransaction"], of=of, times=times, writeConcernError=concern)
            await load.until_settled(AFTER_EACH)
            struck += await mongo.stop_failing()
            await load.until_settled(AFTER_EACH)
    tallies.add("commits acknowledged with an error", struck, await assert_nothing_lost_nothing_twice(load))


async def test_one_key_a_hundred_times_at_once_over_two_processes(
    fault_bank: FaultBank, tallies: TallyRecorder
) -> None:
    async with another(fault_bank, "banking_api") as second, running_load(fault_bank, workers=0) as load:
        for number in range(20):
            operation = load.draw_payment()
            if number % 2:
                # A refused one changes no account, so only its key stands against a second copy.
                operation.minor = BEYOND_EVERY_BALANCE_MINOR
            load.operations.append(operation)
            await asyncio.gather(
                *(attempt_at(load, index, [fault_bank.banking_api, second]) for index in range(100))
            )
    tallies.add("one key 100 times at once", 20, await assert_nothing_lost_nothing_twice(load))


async def test_two_processes_on_one_hot_account_lose_nothing(
    fault_bank: FaultBank, tallies: TallyRecorder
) -> None:
    async with another(fault_bank, "banking_api") as second:
        async with watched(fault_bank), running_load(fault_bank, workers=0) as load:
            load.addresses = [fault_bank.banking_api, second]
            load.hot_account = next(iter(load.opened_minor))
            load.start(workers=16, pause_seconds=0)
            await load.until_settled(400)
        tallies.add("two processes on one hot account", 1, await assert_nothing_lost_nothing_twice(load))


async def attempt_at(load: Load, index: int, addresses: list[str]) -> None:
    await attempt(load.operations[-1], at=addresses[index % 2])
