"""Every administrative act on accounts stands in the ledger's trail."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support.bank import Bank, Person


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
    terms = {"type": "checking", "name": None}
    assert first["before"] == {**terms, "status": "active", "status_reason": None}
    assert first["after"] == {**terms, "status": "frozen", "status_reason": "court order 7"}
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
    olga, omar = [await own_bank.person(name, "operator") for name in ("Olga", "Omar")]
    account = await olga.open_account()
    await olga.patch(f"/accounts/{account}/type", {"type": "savings"})
    assert (await omar.patch(f"/accounts/{account}/unfreeze", {"reason": "x"})).status_code == 409
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
