"""Staff who read what is a customer's: asked why once an hour, recorded, and seen by the customer."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from daemons.shared.clock import utc_now
from tests.support.bank import CLOSED_PORT, Bank, Person, running_bank
from tests.support.policies import asking_for

WHY = "ticket 4711: Zahlung fehlt, bitte prüfen"
POLICY = {"staff_policy": asking_for(reading_hours=1)}


@pytest.fixture(scope="module")
async def curious_bank(mongo_uri: str) -> AsyncIterator[Bank]:
    """A bank that asks staff why they read."""
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT, banking=POLICY, users=POLICY) as bank:
        yield bank


@dataclass
class Counter:
    """Alice, who has paid Bob, and Sam of the support."""

    bank: Bank
    alice: Person
    bob: Person
    sam: Person
    account: str
    payment: str

    async def records(self, reader: Person | None = None, trail: str = "ledger") -> list[dict[str, Any]]:
        query = f"action=read_customer&actor={(reader or self.sam).user_id}"
        return list((await self.sam.get(f"/audit/{trail}?{query}")).json()["items"])


@pytest.fixture
async def counter(curious_bank: Bank) -> Counter:
    alice, bob = await curious_bank.person(), await curious_bank.person("Bob")
    operator, sam = await curious_bank.person("Olga", "operator"), await curious_bank.person("Sam", "support")
    account, other = await alice.open_account(), await bob.open_account()
    assert (await operator.fund(account, "10.00")).status_code == 201
    payment = await alice.transfer(account, other, "1.00", reference="private matter")
    return Counter(curious_bank, alice, bob, sam, account, payment.json()["id"])


def giving(person: Person, reason: str) -> Person:
    return replace(person, headers={**person.headers, "X-Reason": quote(reason)})


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


async def test_the_first_reading_needs_a_reason_and_what_follows_does_not(counter: Counter) -> None:
    paths = [f"/accounts/{counter.account}{rest}" for rest in ("", "/balance", "/transactions")]
    for path in (*paths, f"/accounts?owner_id={counter.alice.user_id}", "/accounts?scope=all"):
        assert code_of(await counter.sam.get(path)) == (403, "reason_required")
    assert await counter.records() == []
    why = giving(counter.sam, WHY)
    assert (await why.get(paths[0])).status_code == 200
    for path in (*paths, *paths, f"/accounts?owner_id={counter.alice.user_id}"):
        assert (await counter.sam.get(path)).status_code == 200
    records = await counter.records()
    assert [record["after"]["read"] for record in reversed(records)] == [
        "account",
        "balance",
        "statement",
        "accounts",
    ]
    assert {(record["reason"], record["target"]["id"]) for record in records} == {
        (WHY, counter.alice.user_id)
    }
    # Of another customer, of a list of all, and by another of the staff it is asked anew.
    assert code_of(await counter.sam.get("/accounts?scope=all")) == (403, "reason_required")
    assert code_of(await counter.sam.get("/transactions?scope=all")) == (403, "reason_required")
    ada = await counter.bank.person("Ada", "admin")
    assert code_of(await ada.get(paths[0])) == (403, "reason_required")


async def test_a_reason_holds_for_an_hour(counter: Counter) -> None:
    path = f"/accounts/{counter.account}"
    assert (await giving(counter.sam, WHY).get(path)).status_code == 200
    past = {"$set": {"until": utc_now() - timedelta(seconds=1)}}
    await counter.bank.ledger["readings"].update_many({"customer": counter.alice.user_id}, past)
    assert code_of(await counter.sam.get(path)) == (403, "reason_required")
    assert (await giving(counter.sam, "again").get(path)).status_code == 200
    assert [record["reason"] for record in await counter.records()] == ["again", WHY]


async def test_a_payment_between_two_is_read_of_both(counter: Counter) -> None:
    path = f"/transactions/{counter.payment}"
    for read in (path, f"{path}/explanation"):
        assert code_of(await counter.sam.get(read)) == (403, "reason_required")
    assert code_of(await counter.sam.post(f"{path}/receipt", {})) == (403, "reason_required")
    assert (await giving(counter.sam, WHY).get(path)).status_code == 200
    assert (await counter.sam.get(f"{path}/explanation")).status_code == 200
    # Only a checkpoint that was made a moment ago may still keep the receipt back.
    made = code_of(await counter.sam.post(f"{path}/receipt", {}))
    assert made in {(200, ""), (503, "checkpoint_pending")}
    assert {record["target"]["id"] for record in await counter.records()} == {
        counter.alice.user_id,
        counter.bob.user_id,
    }


async def test_users_are_read_with_a_reason_and_colleagues_without(counter: Counter) -> None:
    alice = f"/users/{counter.alice.user_id}"
    for path in (alice, f"/users?email={counter.alice.email}", "/users"):
        assert code_of(await counter.sam.get(path)) == (403, "reason_required")
    assert (await counter.sam.get(f"/users/{counter.sam.user_id}")).status_code == 200
    assert (await counter.sam.get(f"/users?email={counter.sam.email}")).status_code == 200
    assert (await giving(counter.sam, WHY).get(alice)).status_code == 200
    assert (await counter.sam.get(f"/users?email={counter.alice.email}")).status_code == 200
    assert len(await counter.records(trail="users")) == 1
    # To be asked is no refusal that the audit counts.
    refused = f"/audit/users?action=access.refused&actor={counter.sam.user_id}"
    assert (await counter.sam.get(refused)).json()["items"] == []


async def test_nobody_is_asked_about_their_own(counter: Counter) -> None:
    own = await counter.sam.open_account()
    for one, account in ((counter.alice, counter.account), (counter.sam, own)):
        for path in (f"/accounts/{account}", f"/accounts/{account}/transactions", "/accounts"):
            assert (await one.get(path)).status_code == 200
    assert (await counter.alice.get(f"/transactions/{counter.payment}")).status_code == 200


@pytest.mark.parametrize("reason", ["", "%20", "x" * 281, "%1b[31m"])
async def test_what_says_nothing_is_no_reason(counter: Counter, reason: str) -> None:
    sam = replace(counter.sam, headers={**counter.sam.headers, "X-Reason": reason})
    answer = await sam.get(f"/accounts/{counter.account}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "X-Reason")


async def test_view_as_is_masked_and_the_customer_sees_it(counter: Counter) -> None:
    path = f"/users/{counter.alice.user_id}/view-as"
    assert code_of(await counter.bob.post(path, {"reason": WHY})) == (403, "forbidden")
    seen = (await counter.sam.post(path, {"reason": WHY})).json()
    assert (seen["initials"], seen["email"]) == ("A.", f"{counter.alice.email[0]}…@example.com")
    overview = f"/accounts/view-as/{counter.alice.user_id}"
    assert code_of(await counter.sam.get(overview)) == (403, "reason_required")
    answer = await giving(counter.sam, WHY).get(overview)
    [account] = answer.json()["items"]
    assert (account["id"], account["balance"]["amount"]) == (counter.account, "9.00")
    paid = account["lines"][0]
    assert (paid["amount"]["amount"], paid["counterparty"][:4]) == ("-1.00", "B. …")
    assert "private matter" not in answer.text

    for daemon in ("users", "ledger"):
        [access] = (await counter.alice.get(f"/accesses/{daemon}")).json()["items"]
        assert (access["role"], access["reason"], access["seen"]) == ("support", WHY, ["view_as"])
        assert "Sam" not in str(access)
        assert (await counter.bob.get(f"/accesses/{daemon}")).json()["items"] == []


async def test_nobody_is_asked_where_the_policy_asks_for_nothing(bank: Bank) -> None:
    alice, sam = await bank.person(), await bank.person("Sam", "support")
    account = await alice.open_account()
    assert (await sam.get(f"/accounts/{account}")).status_code == 200
    assert (await alice.get("/accesses/ledger")).json()["items"] == []
    assert (await sam.get(f"/accounts/view-as/{uuid4()}")).json()["items"] == []
