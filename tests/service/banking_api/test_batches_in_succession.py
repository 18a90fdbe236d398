"""Batches sent before the ones they follow are answered: paid in their order, or not at all."""

import asyncio
from typing import Any

import pytest

from daemons.banking_api.ledger.journal import Journal, SealedGroup
from daemons.banking_api.ledger.queue import OVERLAP_FROM
from daemons.contracts.errors import TransientError
from tests.support.bank import Bank, Person
from tests.support.waiting import patience

REFUSED = (409, "batch_before_not_settled")


async def alice_with_funds(bank: Bank) -> tuple[Person, str, str]:
    """Alice with 100.00 on the first of her two accounts."""
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    full, empty = await alice.open_account(), await alice.open_account()
    assert (await operator.fund(full, "100.00")).status_code == 201
    return alice, full, empty


def batch(*rows: tuple[str, str, str, str], after: str | None = None) -> dict[str, Any]:
    transfers = [
        {"idempotency_key": key, "from_account": sender, "to_account": receiver, "amount": amount}
        | {"currency": "EUR"}
        for key, sender, receiver, amount in rows
    ]
    return {"transfers": transfers} | ({} if after is None else {"after": after})


async def send(person: Person, body: dict[str, Any]) -> list[str]:
    """Send a batch that is taken; returns its rows' outcomes."""
    answer = await person.post("/transactions/batch", body)
    assert answer.status_code == 200, answer.text
    return [result["outcome"] for result in answer.json()["results"]]


async def refusal(person: Person, body: dict[str, Any]) -> tuple[int, str]:
    answer = await person.post("/transactions/batch", body)
    return answer.status_code, answer.json().get("code", "")


async def test_a_batch_that_overtakes_waits_for_the_one_before(bank: Bank) -> None:
    alice, full, empty = await alice_with_funds(bank)
    second = asyncio.create_task(send(alice, batch(("back", empty, full, "80"), after="there")))
    first = asyncio.create_task(send(alice, batch(("there", full, empty, "80"))))
    assert await asyncio.gather(first, second) == [["completed"], ["completed"]]
    assert await alice.balance(full) == "100.00"


async def test_a_batch_may_follow_one_that_is_answered(bank: Bank) -> None:
    alice, full, empty = await alice_with_funds(bank)
    assert await send(alice, batch(("one", full, empty, "1000"))) == ["failed"]
    assert await send(alice, batch(("two", full, empty, "1"), after="one")) == ["completed"]


async def test_a_batch_behind_one_that_never_comes_does_nothing(bank: Bank) -> None:
    alice, full, empty = await alice_with_funds(bank)
    body = batch(("two", full, empty, "1"), after="one")
    assert await refusal(alice, body) == REFUSED
    assert await alice.balance(full) == "100.00"
    answer = await alice.post("/transactions/batch", batch(("two", full, empty, "1")))
    assert answer.json()["results"][0]["replayed"] is False


async def test_a_batch_behind_one_that_is_not_settled_does_nothing(bank: Bank) -> None:
    alice, full, empty = await alice_with_funds(bank)
    twice = batch(("one", full, empty, "1"), ("one", full, empty, "1"))
    second = asyncio.create_task(refusal(alice, batch(("two", full, empty, "1"), after="one")))
    results = (await alice.post("/transactions/batch", twice)).json()["results"]
    assert results[1]["problem"]["code"] == "idempotency_key_in_use"
    assert await second == REFUSED
    assert await alice.balance(full) == "99.00"


async def test_a_batch_follows_neither_itself_nor_another_users(bank: Bank) -> None:
    alice, full, empty = await alice_with_funds(bank)
    assert await refusal(alice, batch(("one", full, empty, "1"), after="one")) == REFUSED
    bob = await bank.person("Bob")
    assert await send(bob, batch(("his", full, empty, "1"))) == ["failed"]
    assert await refusal(alice, batch(("two", full, empty, "1"), after="his")) == REFUSED
    assert await alice.balance(full) == "100.00"


async def test_a_malformed_row_leaves_its_batch_settled(bank: Bank) -> None:
    alice, full, empty = await alice_with_funds(bank)
    assert await send(alice, batch(("one", full, empty, "ten"))) == ["refused"]
    assert await send(alice, batch(("two", full, empty, "1"), after="one")) == ["completed"]


async def test_nothing_is_paid_behind_a_batch_that_fails_when_it_is_written(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, full, empty = await alice_with_funds(bank)
    may_fail, second_is_written = asyncio.Event(), asyncio.Event()
    append = Journal.append

    async def fail_the_first(journal: Journal, group: SealedGroup, *, session: Any) -> None:
        if group.records[0].data["amount"] == 100:
            await may_fail.wait()
            raise TransientError("unavailable", "by the test")
        await append(journal, group, session=session)
        second_is_written.set()

    monkeypatch.setattr(Journal, "append", fail_the_first)
    first = asyncio.create_task(send(alice, batch(("one", full, empty, "1.00"))))
    # Enough for a group beside the first.
    rows = [(f"two-{number}", full, empty, "0.01") for number in range(OVERLAP_FROM)]
    second = asyncio.create_task(refusal(alice, batch(*rows, after="one")))
    async with patience("the second batch to be written"):
        await second_is_written.wait()
    third = asyncio.create_task(refusal(alice, batch(("three", full, empty, "2"), after=rows[-1][0])))
    await asyncio.sleep(0)
    may_fail.set()
    assert await first == ["refused"]
    assert [await second, await third] == [REFUSED, REFUSED]
    assert await alice.balance(full) == "100.00"
    # Nothing keeps them from being sent again.
    assert await send(alice, batch(("one", full, empty, "2"))) == ["completed"]
    assert await send(alice, batch(*rows, after="one")) == ["completed"] * OVERLAP_FROM


async def test_a_batch_is_written_beside_the_one_that_it_follows(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, full, empty = await alice_with_funds(bank)
    second_is_written = asyncio.Event()
    append = Journal.append

    async def wait_with_the_first(journal: Journal, group: SealedGroup, *, session: Any) -> None:
        if group.records[0].data["amount"] == 100:
            await second_is_written.wait()
        await append(journal, group, session=session)
        second_is_written.set()

    monkeypatch.setattr(Journal, "append", wait_with_the_first)
    first = asyncio.create_task(send(alice, batch(("one", full, empty, "1.00"))))
    # They spend what comes by the first.
    rows = [(f"two-{number}", empty, full, "0.01") for number in range(OVERLAP_FROM)]
    second = asyncio.create_task(send(alice, batch(*rows, after="one")))
    async with patience("both batches"):
        assert await first == ["completed"]
        assert await second == ["completed"] * OVERLAP_FROM
    assert await alice.balance(empty) == "0.68"
