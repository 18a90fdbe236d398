"""Kafka's data is lost while events are published and not yet consumed."""

import asyncio
import os
import shutil
import signal

from tests.support.person import Person, funded_account
from tests.support.stack import LocalStack
from tests.support.waiting import eventually


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
