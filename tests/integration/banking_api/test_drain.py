"""What was taken is settled and answered before banking_api ends, and no more is taken than can be."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from bankctl.local import ports
from daemons.banking_api.services import commit_engine
from daemons.banking_api.services.commit_engine import CommitEngine
from daemons.banking_api.storage.mongo_ledger import MongoLedger
from daemons.contracts.errors import TransientError
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from tests.faults.mongo_server import MongoServer
from tests.support.bank import CLOSED_PORT, Bank, Person, people, running_bank
from tests.support.daemon_keys import secret_variables
from tests.support.ledgers import LedgerProcess, told, transfer
from tests.support.waiting import eventually

ROWS = 40
WRITE_MS = 2000


@pytest_asyncio.fixture
async def engine(process: LedgerProcess) -> CommitEngine:
    made = CommitEngine(process.ledger, clock=utc_now, new_id=new_id, committed=lambda _: None)
    made.start()
    return made


@contextmanager
def writing_waits_for(gate: asyncio.Event) -> Iterator[asyncio.Event]:
    """Hold every group until the gate is open; yields what says that one has come to it."""
    reached, write = asyncio.Event(), MongoLedger._write

    async def held(ledger: MongoLedger, *more: Any) -> None:
        reached.set()
        await gate.wait()
        await write(ledger, *more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MongoLedger, "_write", held)
        yield reached


async def test_an_engine_that_closes_settles_what_waits_and_takes_no_more(
    process: LedgerProcess, engine: CommitEngine
) -> None:
    a, b = await process.open(2, balance=1000)
    gate = asyncio.Event()
    with writing_waits_for(gate) as reached:
        first = engine.enqueue(transfer(a, b, 1))
        await reached.wait()
        # Behind the one at work these wait for a group.
        waiting = [first, *(engine.enqueue(transfer(a, b, 1)) for _ in range(9))]
        waiting += engine.enqueue_atomic([transfer(a, b, 1), transfer(a, b, 1)])
        closing = asyncio.create_task(engine.close())
        await asyncio.sleep(0)
        for more in (
            lambda: engine.enqueue(transfer(a, b, 1)),
            lambda: engine.enqueue_atomic([transfer(a, b, 1)]),
        ):
            with pytest.raises(TransientError) as refused:
                more()
            assert refused.value.code == "overloaded"
        assert not closing.done()
        gate.set()
        await closing
    assert [told(answer.result()) for answer in waiting] == ["completed"] * 12
    assert (await process.exact(b))[b].balance_minor == 1012


async def test_no_more_waits_than_may(
    process: LedgerProcess, engine: CommitEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_engine, "WAITING_LIMIT", 5)
    a, b = await process.open(2, balance=1000)
    gate = asyncio.Event()
    with writing_waits_for(gate) as reached:
        taken = [engine.enqueue(transfer(a, b, 1))]
        await reached.wait()
        taken += [engine.enqueue(transfer(a, b, 1)) for _ in range(5)]
        with pytest.raises(TransientError) as refused:
            engine.enqueue(transfer(a, b, 1, key="one too many"))
        assert (refused.value.code, refused.value.retry_after_seconds) == ("overloaded", 1)
        with pytest.raises(TransientError):
            engine.enqueue_atomic([transfer(a, b, 1)])
        gate.set()
        await asyncio.gather(*taken)
    # What was refused has left nothing behind that would keep it from being sent again.
    assert told(await engine.post(transfer(a, b, 1, key="one too many"))) == "completed"
    await engine.close()


@contextmanager
def banking_process(bank: Bank, mongo_uri: str, log: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A banking_api of its own process over the bank's databases; yields its address and the process."""
    [port] = ports.pick(1)
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": bank.ledger.name,
        "KAFKA_BROKER": CLOSED_PORT,
        "USER_API_URL": bank.user_api,
        **secret_variables("banking_api", ""),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemons.banking_api"], env=environment, stdout=output, stderr=output
        )
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait(30)


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
    await mongo.fail_commands(["insert"], times=1, **slow)
    paying = asyncio.create_task(alice.post("/transactions/batch", {"transfers": rows}))
    await mongo.until_one_has_failed()
    process.send_signal(signal.SIGTERM)
    answer = await paying
    assert answer.status_code == 200, answer.text
    assert [result["outcome"] for result in answer.json()["results"]] == ["completed"] * ROWS
    assert await asyncio.to_thread(process.wait, 30) == 0
