"""A bank is known by an id of its own, never by its address."""

import asyncio

from daemons.banking_api.ledger.schema import ensure_bank_id
from tests.support.bank import CLOSED_PORT, Bank, running_bank


async def test_anybody_may_ask_which_bank_it_is_and_keep_the_answer_for_a_while(bank: Bank) -> None:
    answer = await bank.nobody().get("/bank")

    assert answer.status_code == 200
    kept = await bank.ledger["bank"].find_one({})
    assert kept is not None
    assert answer.json() == {"bank_id": str(kept["bank_id"]), "batch_limit": 500, "atomic_limit": 4000}
    assert answer.headers["Cache-Control"] == "public, max-age=60"


async def test_the_id_survives_restarts_and_is_another_one_for_another_database(
    bank: Bank, mongo_uri: str
) -> None:
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as first:
        before = (await first.nobody().get("/bank")).json()["bank_id"]
        suffix = first.suffix
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT, suffix=suffix) as again:
        assert (await again.nobody().get("/bank")).json()["bank_id"] == before
    assert (await bank.nobody().get("/bank")).json()["bank_id"] != before


async def test_processes_that_start_at_once_agree_on_the_id(bank: Bank) -> None:
    database = bank.client[f"ledger_{bank.suffix}_new"]
    try:
        ids = await asyncio.gather(*(ensure_bank_id(database) for _ in range(8)))
        assert len(set(ids)) == 1
        assert await database["bank"].count_documents({}) == 1
    finally:
        await bank.client.drop_database(database)
