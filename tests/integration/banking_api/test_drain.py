"""What was taken is settled and answered before banking_api ends."""

import asyncio
import signal
import subprocess
from pathlib import Path
from uuid import uuid4

import httpx

from bankctl.local import ports
from daemons.banking_api.app import DAEMON
from daemons.shared.mongo import application_name
from tests.faults.mongo_server import MongoServer
from tests.support.bank import CLOSED_PORT, Bank, Person, people, running_bank
from tests.support.processes import banking_process
from tests.support.waiting import eventually

ROWS = 40
WRITE_MS = 2000


async def test_at_sigterm_requests_that_were_taken_are_carried_out_and_answered(tmp_path: Path) -> None:
    mongo = MongoServer(tmp_path / "data", ports.pick(1)[0])
    mongo.start()
    try:
        await mongo.initiate()
        async with running_bank(mongo.uri, kafka_broker=CLOSED_PORT) as bank:
            alice, bob, _, sender, receiver = await people(bank)
            with banking_process(bank, mongo.uri, tmp_path / "banking_api.log") as (url, process):
                alice.banking_api = url
                await sigterm_during_a_batch(mongo, bank, alice, process, rows_of(sender, receiver))
            assert await bob.balance(receiver) == "0.40"
    finally:
        mongo.kill()


def rows_of(sender: str, receiver: str) -> list[dict[str, str]]:
    row = {"from_account": sender, "to_account": receiver, "amount": "0.01", "currency": "EUR"}
    return [{**row, "idempotency_key": str(uuid4())} for _ in range(ROWS)]


async def sigterm_during_a_batch(
    mongo: MongoServer,
    bank: Bank,
    alice: Person,
    process: subprocess.Popen[bytes],
    rows: list[dict[str, str]],
) -> None:
    """Tell the process to end while it writes a batch to a database that takes its time."""

    async def ready() -> bool:
        assert process.poll() is None
        try:
            return (await alice.get("/accounts")).status_code == 200
        except httpx.TransportError:
            return False

    await eventually(ready)
    slow = {"namespace": f"{bank.ledger.name}.journal", "blockConnection": True, "blockTimeMS": WRITE_MS}
    await mongo.fail_commands(["insert"], of=application_name(DAEMON, bank.ledger.name), times=1, **slow)
    paying = asyncio.create_task(alice.post("/transactions/batch", {"transfers": rows}))
    await mongo.until_one_has_failed()
    process.send_signal(signal.SIGTERM)
    answer = await paying
    assert answer.status_code == 200, answer.text
    assert [result["outcome"] for result in answer.json()["results"]] == ["completed"] * ROWS
    assert await asyncio.to_thread(process.wait, 30) == 0
