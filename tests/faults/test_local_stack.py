"""Parts of a whole stack are killed and stopped at random, behind its gateway and under its supervisor."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import aiohttp
import pytest_asyncio

from tests.faults.bank_processes import FaultBank, Person
from tests.faults.invariants import assert_nothing_lost_nothing_twice, watched
from tests.faults.load import Load, running_load
from tests.faults.report import TallyRecorder, dice
from tests.support.stack import LocalStack
from tests.support.waiting import eventually

PARTS = ("user_api", "banking_api", "notifier", "mongod", "kafka", "gateway", "mail", "cache")
PAUSES = 4
LONGEST_PAUSE_SECONDS = 4.0
BETWEEN_FAULTS = 8
# Asking costs a start of the command line.
LOOK_SECONDS = 0.5


class GatewayBank(FaultBank):
    """The bank of a local stack, all of it at its gateway's address."""

    def __init__(self, stack: LocalStack) -> None:
        super().__init__(stack.folder, mongo_uri="", broker="")
        self.stack = stack
        self.urls = dict.fromkeys(("user_api", "banking_api", "notifier"), stack.url)

    async def appoint(self, name: str, role: str) -> Person:
        email = f"{name}-of-the-gateway@example.com"
        visitor = await self.stack.at_another_terminal(email)
        await self.stack.create_operator(visitor, name.title(), role)
        person = Person(self, email, "", self.banking_api)
        await person.sign_in()
        return person


@pytest_asyncio.fixture
async def gateway_bank(stack: LocalStack) -> AsyncIterator[GatewayBank]:
    bank = GatewayBank(stack)
    trust = ssl.create_default_context(cafile=stack.ca_file)
    connector = aiohttp.TCPConnector(limit=0, ssl=trust)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as http:
        bank.http = http
        bank.operator = await bank.appoint("olga", "operator")
        yield bank


async def test_parts_killed_and_stopped_at_random_behind_the_gateway_lose_nothing(
    gateway_bank: GatewayBank, stack: LocalStack, tallies: TallyRecorder
) -> None:
    drawn = dice("parts of a stack")
    strikes = [("kill", part) for part in PARTS] + [("stop", drawn.choice(PARTS)) for _ in range(PAUSES)]
    drawn.shuffle(strikes)
    async with watched(gateway_bank), running_load(gateway_bank) as load:
        for action, name in strikes:
            await load.until_settled(BETWEEN_FAULTS)
            if action == "kill":
                await kill(stack, name, load)
            else:
                await pause(stack, name, drawn.uniform(0.5, LONGEST_PAUSE_SECONDS))
        await load.until_settled(BETWEEN_FAULTS)
    await eventually(stack.is_healthy, every_seconds=LOOK_SECONDS)
    told = ", ".join(f"{action} {name}" for action, name in strikes)
    tally = await assert_nothing_lost_nothing_twice(load)
    tallies.add(f"behind the gateway: {told}", len(strikes), tally)


async def kill(stack: LocalStack, name: str, load: Load) -> None:
    """End a part as a power cut would, and see the supervisor start it again and the bank at work."""
    victim = await stack.part(name)
    victim.kill()

    async def replaced() -> bool:
        return await stack.is_healthy() and (await stack.part(name)).pid != victim.pid

    await eventually(replaced, every_seconds=LOOK_SECONDS)
    await load.until_settled(BETWEEN_FAULTS)


async def pause(stack: LocalStack, name: str, seconds: float) -> None:
    """Stop a part's time. Nothing may be settled meanwhile, so this fault alone lasts for a time."""
    victim = await stack.part(name)
    victim.pause()
    await asyncio.sleep(seconds)
    # The supervisor may have ended what answered nobody.
    with contextlib.suppress(ProcessLookupError):
        victim.resume()
