"""Several processes over one database: one decides, the others hand it what they are asked for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from uuid import uuid4

import pytest_asyncio

from tests.support.bank import CLOSED_PORT, Bank, Person, people, running_bank
from tests.support.waiting import eventually


@pytest_asyncio.fixture
async def pair(mongo_uri: str) -> AsyncIterator[tuple[AsyncExitStack, Bank, Bank]]:
    """The ledger, which the stack closes, and a front of it."""
    async with AsyncExitStack() as ledger, AsyncExitStack() as front:
        first = await ledger.enter_async_context(running_bank(mongo_uri, kafka_broker=CLOSED_PORT))
        other = await front.enter_async_context(
            running_bank(mongo_uri, kafka_broker=CLOSED_PORT, suffix=first.suffix)
        )
        yield ledger, first, other


def at(bank: Bank, person: Person) -> Person:
    """The person, who asks that process of banking_api."""
    return replace(person, http=bank.http, user_api=bank.user_api, banking_api=bank.banking_api)


async def lease(bank: Bank) -> object:
    found = await bank.ledger["leases"].find_one({"_id": "ledger"})
    return None if found is None else found["holder"]


async def test_all_that_happens_to_an_account_happens_through_any_process(
    pair: tuple[AsyncExitStack, Bank, Bank],
) -> None:
    _, first, other = pair
    alice, bob, operator, sender, receiver = await people(first)
    holder = await lease(first)
    there = at(other, alice)
    paid = await there.transfer(sender, receiver, "10.00", key="k")
    assert paid.status_code == 201, paid.text
    again = await alice.transfer(sender, receiver, "10.00", key="k")
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (paid.json(), "true")
    refused = await there.transfer(sender, receiver, "1000.00")
    assert (refused.status_code, refused.json()["code"]) == (422, "insufficient_funds")
    opened = await there.open_account()
    assert (await at(other, operator).fund(opened, "5.00")).status_code == 201
    frozen = await at(other, operator).patch(f"/accounts/{sender}/freeze", {"reason": "fraud check"})
    assert frozen.json()["status"] == "frozen"
    assert (await alice.transfer(sender, receiver, "1.00")).json()["code"] == "account_frozen"
    twice = await at(other, operator).patch(f"/accounts/{sender}/freeze", {"reason": "fraud check"})
    assert (twice.status_code, twice.json()["code"]) == (409, "account_already_frozen")
    assert await bob.balance(receiver) == "10.00"
    assert await lease(first) == holder
    assert (await operator.get("/ledger/proof")).json()["holds"] is True


def batch(sender: str, receiver: str, *keys: str, after: str | None = None) -> dict[str, object]:
    row = {"from_account": sender, "to_account": receiver, "amount": "1.00", "currency": "EUR"}
    body: dict[str, object] = {"transfers": [{**row, "idempotency_key": key} for key in keys]}
    return body if after is None else {**body, "after": after}


async def test_a_batch_follows_another_through_any_process(
    pair: tuple[AsyncExitStack, Bank, Bank],
) -> None:
    _, first, other = pair
    alice, bob, _, sender, receiver = await people(first)
    for number in range(4):
        keys = [f"{number}-{row}" for row in range(3)]
        after = f"{number - 1}-2" if number else None
        answer = await at((first, other)[number % 2], alice).post(
            "/transactions/batch", batch(sender, receiver, *keys, after=after)
        )
        assert [row["outcome"] for row in answer.json()["results"]] == ["completed"] * 3, answer.text
    never = await at(other, alice).post("/transactions/batch", batch(sender, receiver, "x", after="never"))
    assert (never.status_code, never.json()["code"]) == (409, "batch_before_not_settled")
    assert await bob.balance(receiver) == "12.00"


async def test_a_ledger_that_is_told_to_stop_hands_over_and_no_request_fails(
    pair: tuple[AsyncExitStack, Bank, Bank],
) -> None:
    ledger, first, other = pair
    alice, bob, operator, sender, receiver = await people(first)
    before = await lease(first)
    done = asyncio.Event()
    paid = 0

    async def pay() -> None:
        nonlocal paid
        while not done.is_set():
            answer = await at(other, alice).transfer(sender, receiver, "0.01", key=str(uuid4()))
            assert answer.status_code == 201, answer.text
            assert "Idempotent-Replayed" not in answer.headers
            paid += 1

    async def taken_over() -> bool:
        return await lease(other) not in {None, before}

    async with asyncio.TaskGroup() as payers:
        for _ in range(4):
            payers.create_task(pay())
        await eventually(lambda: is_(paid > 20))
        await ledger.aclose()
        await eventually(taken_over)
        at_take_over = paid
        await eventually(lambda: is_(paid > at_take_over + 20))
        done.set()
    assert await at(other, bob).balance(receiver) == f"{paid / 100:.2f}"
    assert (await at(other, operator).get("/ledger/proof")).json()["holds"] is True


async def is_(state: bool) -> bool:
    await asyncio.sleep(0)
    return state
