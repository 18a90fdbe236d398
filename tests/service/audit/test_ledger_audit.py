"""Every administrative act on accounts stands in the trail, and the trail cannot be changed unseen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemons.shared.audit.record import genesis
from tests.support.bank import CLOSED_PORT, Bank, Person, running_bank

Tamper = Callable[[Bank], Awaitable[Any]]


@pytest.fixture(scope="module")
async def lone_bank(mongo_uri: str) -> AsyncIterator[Bank]:
    """A bank whose trail the tests of other modules do not write to."""
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as bank:
        yield bank


@pytest.fixture
async def own_bank(lone_bank: Bank) -> Bank:
    """That bank with an empty trail."""
    first = genesis("banking_api")
    await lone_bank.ledger["audit"].delete_many({})
    await lone_bank.ledger["audit_head"].update_one(
        {"_id": "head"}, {"$set": {"count": first.count, "hash": first.hash}}, upsert=True
    )
    return lone_bank


async def records(reader: Person, query: str = "") -> list[dict[str, Any]]:
    answer = await reader.get(f"/audit/ledger?limit=200{query}")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def proof(reader: Person, query: str = "") -> dict[str, Any]:
    answer = await reader.get(f"/audit/ledger/proof{query}")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def test_every_act_tells_who_what_when_why_from_where_before_and_after(own_bank: Bank) -> None:
    alice, olga = await own_bank.person(), await own_bank.person("Olga", "operator")
    account = await alice.open_account()
    with capture_logs() as logs:
        answer = await olga.call(
            "PATCH",
            f"/accounts/{account}/freeze",
            {"reason": "court order 7"},
            **{"X-Request-Id": "trace-7", "X-Forwarded-For": "192.0.2.7"},
        )
    assert answer.status_code == 200
    [entry] = [entry for entry in logs if entry["event"] == "administrative act"]
    assert (entry["action"], entry["actor"], entry["request_id"]) == ("freeze", olga.user_id, "trace-7")
    await olga.patch(f"/accounts/{account}/unfreeze", {"reason": "lifted"})
    await olga.patch(f"/accounts/{account}/type", {"type": "savings"})
    booked = (await olga.fund(account, "12.50")).json()
    spent = await olga.open_account()
    await alice.transfer(account, spent, "12.50")
    await olga.patch(f"/accounts/{account}/close", {"reason": "deceased"})

    found = await records(olga)
    assert [record["action"] for record in found] == ["close", "fund", "change_type", "unfreeze", "freeze"]
    assert [record["seq"] for record in found] == [5, 4, 3, 2, 1]
    assert {record["target"]["id"] for record in found} == {account}
    assert {record["actor"]["user_id"] for record in found} == {olga.user_id}
    first = found[-1]
    assert first["actor"] == {"user_id": olga.user_id, "display_name": "Olga", "role": "operator"}
    assert (first["reason"], first["request_id"], first["address"]) == (
        "court order 7",
        "trace-7",
        "192.0.2.7",
    )
    assert first["before"] == {"type": "checking", "status": "active", "status_reason": None}
    assert first["after"] == {"type": "checking", "status": "frozen", "status_reason": "court order 7"}
    funded = found[1]
    assert funded["before"] == {"balance": "0.00"}
    assert funded["after"] == {
        "transaction_id": booked["id"],
        "status": "completed",
        "failure": None,
        "amount": "12.50",
        "currency": "EUR",
        "balance": "12.50",
    }
    assert (await olga.get("/audit/ledger/1")).json() == first
    assert (await proof(olga))["holds"] is True


async def test_an_owners_own_acts_and_refused_ones_are_not_administrative(own_bank: Bank) -> None:
    olga = await own_bank.person("Olga", "operator")
    account = await olga.open_account()
    await olga.patch(f"/accounts/{account}/type", {"type": "savings"})
    assert (await olga.patch(f"/accounts/{account}/unfreeze", {"reason": "x"})).status_code == 409
    await olga.patch(f"/accounts/{account}/close", {})
    assert await records(olga) == []


async def test_a_funding_that_a_rule_refuses_is_told_and_a_repeated_one_once(own_bank: Bank) -> None:
    alice, olga = await own_bank.person(), await own_bank.person("Olga", "operator")
    account = await alice.open_account()
    for _ in range(3):
        assert (await olga.fund(account, "5.00", key="same")).status_code == 201
    await olga.patch(f"/accounts/{account}/freeze", {"reason": "x"})
    assert (await olga.fund(account, "5.00", key="frozen")).status_code == 422
    refused, _, once = await records(olga)
    assert (refused["action"], refused["before"]) == ("fund", None)
    assert (refused["after"]["status"], refused["after"]["failure"]) == ("failed", "account_frozen")
    assert once["after"]["status"] == "completed"


async def test_acts_at_the_same_time_make_one_chain(own_bank: Bank) -> None:
    alice, olga = await own_bank.person(), await own_bank.person("Olga", "operator")
    accounts = [await alice.open_account() for _ in range(8)]
    answers = await asyncio.gather(
        *(olga.fund(account, "1.00") for account in accounts for _ in range(3)),
        *(olga.patch(f"/accounts/{account}/type", {"type": "savings"}) for account in accounts),
    )
    assert {answer.status_code for answer in answers} <= {200, 201}
    found = await records(olga)
    assert [record["seq"] for record in found] == list(range(32, 0, -1))
    assert (await proof(olga))["head"] == {"count": 32, "hash": found[0]["hash"]}
    assert (await proof(olga))["holds"] is True


async def test_nothing_is_done_that_cannot_be_recorded(own_bank: Bank) -> None:
    alice, olga = await own_bank.person(), await own_bank.person("Olga", "operator")
    account = await alice.open_account()
    await own_bank.ledger["audit_head"].delete_many({})
    for answer in (
        await olga.patch(f"/accounts/{account}/freeze", {"reason": "x"}),
        await olga.fund(account, "1.00"),
    ):
        assert answer.status_code == 500
        assert "audit" not in answer.text
    assert (await alice.get(f"/accounts/{account}")).json()["status"] == "active"
    assert await alice.balance(account) == "0.00"


async def test_records_are_listed_page_by_page_and_filtered(own_bank: Bank) -> None:
    alice, olga = await own_bank.person(), await own_bank.person("Olga", "operator")
    one, other = await alice.open_account(), await alice.open_account()
    for account in (one, other, one):
        await olga.fund(account, "1.00")
    page = (await olga.get("/audit/ledger?limit=2")).json()
    assert [record["seq"] for record in page["items"]] == [3, 2]
    rest = (await olga.get(f"/audit/ledger?limit=2&cursor={page['next_cursor']}")).json()
    assert ([record["seq"] for record in rest["items"]], rest["next_cursor"]) == ([1], None)
    assert [record["seq"] for record in await records(olga, f"&target={one}")] == [3, 1]
    assert len(await records(olga, f"&actor={olga.user_id}&action=fund")) == 3
    assert await records(olga, f"&actor={alice.user_id}") == []
    for path, status in (
        ("/audit/ledger/9", 404),
        ("/audit/ledger/x", 404),
        (f"/audit/ledger/{'9' * 30}", 404),
        ("/audit/ledger?cursor=AAAA", 400),
        ("/audit/ledger?target[$ne]=x", 422),
        ("/audit/ledger/proof?count=1", 422),
        (f"/audit/ledger/proof?hash={'a' * 64}", 422),
        ("/audit/ledger/proof?count=-1&hash=x", 422),
    ):
        assert (await olga.get(path)).status_code == status, path


@pytest.mark.parametrize(("role", "status"), [("user", 403), ("support", 200), ("admin", 200)])
async def test_the_trail_is_for_staff(bank: Bank, role: str, status: int) -> None:
    person = await bank.person("Pat", role)
    for path in ("/audit/ledger", "/audit/ledger/proof", "/approvals/ledger"):
        assert (await person.get(path)).status_code == status
    assert (await bank.nobody().get("/audit/ledger")).status_code == 401


async def _remove_and_renumber(bank: Bank) -> None:
    await bank.ledger["audit"].delete_one({"_id": 3})
    for seq in (4, 5, 6):
        moved = await bank.ledger["audit"].find_one_and_delete({"_id": seq})
        assert moved is not None
        await bank.ledger["audit"].insert_one({**moved, "_id": seq - 1})
    await bank.ledger["audit_head"].update_one({}, {"$set": {"count": 5}})


async def _swap(bank: Bank) -> None:
    one = await bank.ledger["audit"].find_one_and_delete({"_id": 3})
    other = await bank.ledger["audit"].find_one_and_delete({"_id": 4})
    assert one is not None
    assert other is not None
    await bank.ledger["audit"].insert_many([{**one, "_id": 4}, {**other, "_id": 3}])


def _set(seq: int, **fields: Any) -> Tamper:
    return lambda bank: bank.ledger["audit"].update_one({"_id": seq}, {"$set": fields})


@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        (_set(3, **{"actor.display_name": "Olgb"}), "was changed"),
        (_set(3, reason="x"), "was changed"),
        (_set(3, **{"after.amount": "1.01"}), "was changed"),
        (_set(3, at="2026-11-23T05:34:42.124Z"), "was changed"),
        (_set(3, hash="0" * 64), "was changed"),
        (_set(3, previous_hash="0" * 64), "does not follow"),
        (_set(3, more=None), "was changed"),
        (lambda bank: bank.ledger["audit"].update_one({"_id": 3}, {"$set": {"seq": 9}}), "are missing"),
        (_set(3, hash=None), "without being one of its records"),
        (lambda bank: bank.ledger["audit"].update_one({"_id": 3}, {"$unset": {"reason": 1}}), "was changed"),
        (lambda bank: bank.ledger["audit"].delete_one({"_id": 1}), "record 1 is missing"),
        (lambda bank: bank.ledger["audit"].delete_one({"_id": 3}), "record 3 is missing"),
        (lambda bank: bank.ledger["audit"].delete_many({"_id": {"$in": [3, 4]}}), "records 3 to 4 are"),
        (lambda bank: bank.ledger["audit"].delete_one({"_id": 6}), "the head counts 6 records"),
        (lambda bank: bank.ledger["audit"].delete_many({}), "the head counts 6 records"),
        (lambda bank: bank.ledger["audit"].insert_one({"_id": 7, "hash": "a" * 64}), "was changed"),
        (lambda bank: bank.ledger["audit"].insert_one({"_id": "x"}), "without being one of its records"),
        (lambda bank: bank.ledger["audit_head"].delete_many({}), "the head is missing"),
        (
            lambda bank: bank.ledger["audit_head"].update_one({}, {"$set": {"hash": "a" * 64}}),
            "the head has another hash",
        ),
        (_remove_and_renumber, "was changed"),
        (_swap, "was changed"),
    ],
)
async def test_what_was_tampered_with_is_found(own_bank: Bank, tamper: Tamper, problem: str) -> None:
    alice, olga = await own_bank.person(), await own_bank.person("Olga", "operator")
    account = await alice.open_account()
    for _ in range(6):
        await olga.fund(account, "1.00")
    assert (await proof(olga))["holds"] is True
    await tamper(own_bank)
    found = await proof(olga)
    assert found["holds"] is False
    assert any(problem in fault["problem"] for fault in found["faults"]), found["faults"]
    assert (await olga.get("/audit/ledger")).status_code in {200, 409}


async def test_a_trail_rewritten_with_its_head_is_found_by_the_anchor(own_bank: Bank) -> None:
    alice, olga = await own_bank.person(), await own_bank.person("Olga", "operator")
    account = await alice.open_account()
    for _ in range(4):
        await olga.fund(account, "1.00")
    head = (await proof(olga))["head"]
    anchor = f"?count={head['count']}&hash={head['hash']}"
    assert (await proof(olga, anchor))["anchored"] is True
    await olga.fund(account, "1.00")
    later = await proof(olga, anchor)
    assert (later["holds"], later["head"]["count"]) == (True, 5)

    trail, heads = own_bank.ledger["audit"], own_bank.ledger["audit_head"]
    await trail.delete_many({"_id": {"$gt": 3}})
    third = await trail.find_one({"_id": 3})
    assert third is not None
    await heads.update_one({}, {"$set": {"count": 3, "hash": third["hash"]}})
    assert (await proof(olga))["holds"] is True
    cut = await proof(olga, anchor)
    assert (cut["holds"], cut["faults"][0]["problem"]) == (
        False,
        "the trail ends before record 4, which was anchored",
    )

    await olga.fund(account, "2.00")
    assert (await proof(olga))["holds"] is True
    rewritten = await proof(olga, anchor)
    assert rewritten["faults"] == [{"seq": 4, "problem": "is another record than the one that was anchored"}]
    empty = await proof(olga, f"?count=0&hash={'a' * 64}")
    assert empty["faults"] == [{"seq": 0, "problem": "the anchor is of another trail"}]


async def test_refusals_at_staff_routes_are_told_and_those_of_owners_are_not(own_bank: Bank) -> None:
    alice, bob = await own_bank.person(), await own_bank.person("Bob")
    olga = await own_bank.person("Olga", "operator")
    account = await alice.open_account()
    assert (await bob.get(f"/accounts/{account}")).status_code == 404
    assert (await bob.transfer(account, await bob.open_account(), "1.00")).status_code == 404
    assert await records(olga) == []
    assert (await bob.patch(f"/accounts/{account}/freeze", {"reason": "x"})).status_code == 403
    assert (await bob.fund(account, "1.00")).status_code == 403
    fund, freeze = await records(olga)
    assert {record["action"] for record in (fund, freeze)} == {"access.refused"}
    assert {record["actor"]["user_id"] for record in (fund, freeze)} == {bob.user_id}
    assert freeze["target"] == {"kind": "route", "id": "PATCH /accounts/{id}/freeze"}
    assert freeze["after"] == {"path": f"/accounts/{account}/freeze", "others_left_out": 0}
    assert (fund["target"]["id"], fund["reason"]) == ("POST /accounts/{id}/fund", "forbidden")
    assert (await proof(olga))["holds"] is True
