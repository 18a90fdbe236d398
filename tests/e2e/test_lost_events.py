"""Data is lost: Kafka's, before all of it was consumed, or MongoDB's, of which an older copy is served."""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable

import pytest

from tests.support.person import Person, funded_account
from tests.support.stack import LocalStack, PartProcess
from tests.support.waiting import eventually

pytestmark = pytest.mark.campaign


async def test_events_lost_with_kafkas_data_go_out_again_from_the_journal(
    stack: LocalStack, operator: Person, support: Person, ann: Person, bob: Person
) -> None:
    sender, receiver = await funded_account(ann, operator, "30.00"), await bob.open_account()
    await operator.run("admin", "prove", "--wait", "60")
    notifier, kafka = await stack.part("notifier"), await stack.part("kafka")
    notifier.pause()
    for _ in range(3):
        await ann.run("transfer", sender, receiver, "1.00")

    async def published() -> bool:
        return bool((await operator.json("admin", "outbox"))["pending_events"] == 0)

    await eventually(published)
    async with stack.without_restarts():
        kafka.kill()
        folder = stack.terminal.home / "data" / "stacks" / "local" / "kafka"
        await asyncio.to_thread(shutil.rmtree, folder / "data")
        (folder / "formatted").unlink()
    os.kill(notifier.pid, signal.SIGCONT)
    await stack.until_replaced(kafka)

    proof = await operator.attempt("admin", "prove", "--wait", "1", "-o", "json")
    assert proof.status == 1
    assert {check["name"] for check in proof.json["checks"] if check["result"] != "ok"} == {
        "events received",
        "notifications",
    }
    command = ("admin", "events", "republish", "--missing", "--reason", "its disk was lost")
    assert (await support.attempt(*command)).status == 5
    report = await operator.json(*command)
    assert (report["missing"], report["republished"]) == (3, 3)
    await operator.run("admin", "prove", "--wait", "60")
    again = await operator.json(*command)
    assert (again["examined"], again["missing"], again["republished"]) == (report["examined"], 0, 0)
    audited = await operator.json("admin", "audit", "list", "--action", "republish_events")
    assert audited[0]["reason"] == "its disk was lost"


async def test_status_says_that_an_older_copy_of_the_database_is_served(
    stack: LocalStack, operator: Person, ann: Person, bob: Person
) -> None:
    sender, receiver = await funded_account(ann, operator, "30.00"), await bob.open_account()
    data = stack.terminal.home / "data" / "stacks" / "local" / "mongo" / "data"
    older, newest = data.with_name("older"), data.with_name("newest")
    await _restart_with(stack, lambda: shutil.copytree(data, older))
    await eventually(stack.is_healthy)
    await ann.run("transfer", sender, receiver, "1.00", "--yes")
    await operator.run("admin", "prove", "--wait", "60")
    assert await stack.is_healthy()

    await _restart_with(stack, lambda: (data.rename(newest), older.rename(data)))
    told = "an older copy of the database is served"
    await eventually(lambda: _says(stack, "banking_api", "degraded", told))
    assert not await stack.is_healthy()
    shown = await stack.terminal.attempt("dev", "status")
    assert shown.status == 1
    assert "banking_api is not healthy" in shown.err

    await _restart_with(stack, lambda: (shutil.rmtree(data), newest.rename(data)))
    await eventually(stack.is_healthy)
    await operator.run("admin", "prove", "--wait", "60")
    assert await bob.balance(receiver) == "1.00"


async def _restart_with(stack: LocalStack, change: Callable[[], object]) -> None:
    """Change MongoDB's data while neither it nor banking_api runs."""
    killed = [await stack.part("mongod"), await stack.part("banking_api")]
    async with stack.without_restarts():
        for part in killed:
            part.kill()
            await eventually(part.has_ended)
        await asyncio.to_thread(change)
    for part in killed:
        await eventually(lambda one=part: _is_replaced(stack, one))


async def _is_replaced(stack: LocalStack, killed: PartProcess) -> bool:
    return (await stack.part(killed.name)).pid not in {None, killed.pid}


async def _says(stack: LocalStack, part: str, health: str, detail: str) -> bool:
    found = next(one for one in (await stack.status())["parts"] if one["name"] == part)
    return found["health"] == health and detail in str(found["detail"])
