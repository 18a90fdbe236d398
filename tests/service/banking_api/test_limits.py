"""What a caller may store and send is limited: rows of batches, accounts."""

import asyncio
from typing import Any
from uuid import uuid4

from tests.support.bank import CLOSED_PORT, people, running_bank

BATCH = "/transactions/batch"


def rows(sender: str, receiver: str, count: int) -> list[dict[str, Any]]:
    return [
        {
            "from_account": sender,
            "to_account": receiver,
            "amount": "0.01",
            "currency": "EUR",
            "idempotency_key": str(uuid4()),
        }
        for _ in range(count)
    ]


async def test_rows_count_and_not_only_the_requests_that_bring_them(mongo_uri: str) -> None:
    limits = {"caller_rows_per_second": 1e-6, "caller_rows_burst": 100}
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT, banking=limits) as bank:
        alice, bob, _, sender, receiver = await people(bank)
        looked_at = await alice.post(f"{BATCH}/preview", {"transfers": rows(sender, receiver, 40)})
        assert looked_at.status_code == 200
        for taken in (59, 400):
            paid = await alice.post(BATCH, {"transfers": rows(sender, receiver, taken)})
            assert paid.status_code == 200, paid.text
        for path, more in ((BATCH, {}), (BATCH, {"atomic": True}), (f"{BATCH}/preview", {})):
            refused = await alice.post(path, {"transfers": rows(sender, receiver, 1), **more})
            assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited"), path
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.headers["RateLimit-Policy"].startswith('"caller";q=100;')
        assert await bob.balance(receiver) == "4.59"
        # Single payments go on, and other people's batches.
        assert (await alice.transfer(sender, receiver, "0.01")).status_code == 201
        back = await bob.post(BATCH, {"transfers": rows(receiver, sender, 1)})
        assert back.json()["results"][0]["outcome"] == "completed"


async def test_by_default_a_file_of_thousands_of_rows_flows(mongo_uri: str) -> None:
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as bank:
        alice, _, _, sender, receiver = await people(bank)
        for _ in range(7):
            paid = await alice.post(BATCH, {"transfers": rows(sender, receiver, 500)})
            assert paid.status_code == 200, paid.text


async def test_nobody_opens_accounts_without_end(mongo_uri: str) -> None:
    limits = {"accounts_per_user": 5}
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT, banking=limits) as bank:
        alice, bob = await bank.person(), await bank.person("Bob")
        body, keys = {"type": "checking", "currency": "EUR"}, [str(uuid4()) for _ in range(8)]
        opened = await asyncio.gather(*(alice.post("/accounts", body, key=key) for key in keys))
        statuses = sorted(answer.status_code for answer in opened)
        assert statuses == [201] * 5 + [422] * 3
        assert {answer.json()["code"] for answer in opened if answer.status_code == 422} == {
            "account_limit_reached"
        }
        assert await bank.ledger["accounts"].count_documents({}) == 5
        # A closed one is stored all the same; what was opened is told again; others have their own.
        done = next(key for key, answer in zip(keys, opened, strict=True) if answer.status_code == 201)
        mine = (await alice.post("/accounts", body, key=done)).json()["id"]
        assert (await alice.patch(f"/accounts/{mine}/close", {})).status_code == 200
        again = await alice.post("/accounts", body, key=str(uuid4()))
        assert (again.status_code, again.json()["code"]) == (422, "account_limit_reached")
        assert (await bob.post("/accounts", body)).status_code == 201
