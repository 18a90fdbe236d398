"""The proof over its route and beside other work."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from daemons.banking_api.books.models import ProofLine
from daemons.banking_api.books.proof import prove_ledger
from daemons.banking_api.books.snapshot import SnapshotOpener
from daemons.banking_api.ledger.journal import SealedGroup
from daemons.banking_api.ledger.record import Failure, Record
from daemons.banking_api.ledger.seal import GENESIS
from daemons.contracts.errors import TransientError
from daemons.shared.ids import new_id
from daemons.shared.progress import Progress
from daemons.shared.tasks import end_task
from tests.support.bank import Bank
from tests.support.mongo import server_parameter
from tests.support.waiting import eventually

NOW = datetime(2026, 11, 30, tzinfo=UTC)


async def test_a_proof_with_progress_says_the_same(bank: Bank) -> None:
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    account = await alice.open_account()
    await operator.fund(account, "10.00")
    plain = (await operator.get("/ledger/proof")).json()
    streamed = await operator.call("GET", "/ledger/proof", Accept="application/x-ndjson")
    assert streamed.headers["Content-Type"].startswith("application/x-ndjson")
    *_, last = [ProofLine.model_validate_json(line) for line in streamed.text.splitlines()]
    assert last.result is not None
    assert last.result.model_dump(mode="json") == plain
    assert plain["holds"] is True, plain["mismatches"]
    refused = await alice.call("GET", "/ledger/proof", Accept="application/x-ndjson")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_others_have_their_turn_while_the_books_are_proved(bank: Bank) -> None:
    """A batch of postings that has arrived is folded in slices, between which the event loop goes on."""
    client = bank.client
    name = f"proof_{uuid4().hex[:12]}"
    records = [
        Record(
            id=new_id(),
            kind="transfer",
            initiator=new_id(),
            idempotency_id=place.to_bytes(16),
            fingerprint=b"",
            at=NOW,
            entries=(),
            data={"from": "1", "to": "2", "amount": 1, "currency": "EUR", "reference": None},
            failure=Failure("account_not_found", "x"),
            attempt=None,
        )
        for place in range(3000)
    ]
    group = SealedGroup(records, GENESIS, at=NOW)
    await client[name]["journal"].insert_many([dict(document) for document in group.documents])
    progress = Progress()
    steps: list[int] = []

    async def watch() -> None:
        before = 0
        while True:
            now = progress.done if progress.phase == "journal" else before
            if now != before:
                steps.append(now - before)
                before = now
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    try:
        async with SnapshotOpener(client, client[name]).open() as snapshot:
            proof = await prove_ledger(snapshot, progress)
    finally:
        await end_task(watching)
        await client.drop_database(name)
    assert (proof.failed, proof.events.count, proof.holds) == (3000, 3000, True)
    assert len(steps) > 1
    assert max(steps) <= 100
    assert progress.phase == "outbox"


async def test_a_proof_that_outlasts_the_databases_history_says_what_to_do(bank: Bank) -> None:
    window = "minSnapshotHistoryWindowInSeconds"
    opener = SnapshotOpener(bank.client, bank.ledger)

    async def history_has_gone() -> bool:
        await bank.ledger["touched"].insert_one({})
        async with opener.open() as snapshot:
            await snapshot.outbox_pending()
            for _ in range(20):
                await bank.ledger["touched"].insert_one({})
            await snapshot.outbox_pending()
        return False

    async with server_parameter(bank.client, window, 0):
        with pytest.raises(TransientError, match=window) as raised:
            await eventually(history_has_gone)
    assert raised.value.code == "snapshot_too_old"
