"""Transfers and withdrawals taken back by staff, over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.bank import CLOSED_PORT, Bank, Person, people, running_bank
from tests.support.policies import asking_for


@dataclass
class Case:
    """Alice has paid Bob 40.00 of her 100.00."""

    alice: Person
    bob: Person
    olga: Person
    alices: str
    bobs: str
    paid: str

    async def reverse(self, of: str | None = None, *, key: str | None = None, **more: Any) -> httpx.Response:
        body = {"reason": "wrong account", **more}
        return await self.olga.post(f"/transactions/{of or self.paid}/reverse", body, key=key or str(uuid4()))

    async def balances(self) -> tuple[str, str]:
        return await self.alice.balance(self.alices), await self.bob.balance(self.bobs)

    async def books_hold(self) -> bool:
        proof = (await self.olga.get("/ledger/proof")).json()
        return bool(proof["holds"]) and proof["mismatches"] == []


async def begin(bank: Bank) -> Case:
    alice, bob, olga, alices, bobs = await people(bank)
    paid = await alice.transfer(alices, bobs, "40.00", reference="rent")
    return Case(alice, bob, olga, alices, bobs, paid.json()["id"])


@pytest.fixture
async def case(bank: Bank) -> Case:
    return await begin(bank)


async def test_the_whole_goes_back_and_each_names_the_other(case: Case) -> None:
    done = await case.reverse()
    body = done.json()
    assert (done.status_code, body["kind"], body["reverses"]) == (201, "reversal", case.paid)
    assert (body["from_account"], body["to_account"]) == (case.bobs, case.alices)
    assert body["amount"] == {"amount": "40.00", "currency": "EUR"}
    assert await case.balances() == ("100.00", "0.00")
    for reader in (case.alice, case.bob, case.olga):
        original = (await reader.get(f"/transactions/{case.paid}")).json()
        assert original["taken_back"] == {"amount": "40.00", "currency": "EUR"}
        assert [(later["id"], later["kind"]) for later in original["follow_ups"]] == [
            (body["id"], "reversal")
        ]
        assert (await reader.get(f"/transactions/{body['id']}")).json()["reverses"] == case.paid
    line = (await case.bob.get(f"/accounts/{case.bobs}/transactions")).json()["items"][0]
    assert (line["kind"], line["amount"], line["balance_after"]) == ("reversal", "-40.00", "0.00")
    assert line["reference"] == "wrong account"
    assert line["description"] == f"Reversal of transaction {case.paid}"
    [entry] = (await case.olga.get(f"/audit/ledger?target={case.bobs}&action=reverse")).json()["items"]
    assert (entry["before"]["balance"], entry["after"]["balance"]) == ("40.00", "0.00")
    assert (entry["after"]["reverses"], entry["after"]["forced"]) == (case.paid, False)
    assert await case.books_hold()


async def test_in_parts_and_never_more_than_the_original(case: Case) -> None:
    for amount in ("15.00", "5.00"):
        assert (await case.reverse(amount=amount)).status_code == 201
    for asked in ({"amount": "20.01"}, {}):
        refused = await case.reverse(**asked)
        assert (refused.status_code, refused.json()["code"]) == (422, "beyond_original")
        assert "20.00 EUR is left" in refused.json()["detail"]
    assert (await case.reverse(amount="20.00")).status_code == 201
    assert (await case.reverse(amount="0.01")).json()["code"] == "beyond_original"
    assert await case.balances() == ("100.00", "0.00")
    original = (await case.alice.get(f"/transactions/{case.paid}")).json()
    assert original["taken_back"]["amount"] == "40.00"
    assert [later["amount"]["amount"] for later in original["follow_ups"]] == ["20.00", "5.00", "15.00"]
    assert await case.books_hold()


async def test_many_parts_at_once_never_take_back_more(case: Case) -> None:
    answers = await asyncio.gather(*(case.reverse(amount="9.00") for _ in range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] * 4 + [422] * 8
    refused = {answer.json()["code"] for answer in answers if answer.status_code == 422}
    assert refused == {"beyond_original"}
    assert await case.balances() == ("96.00", "4.00")
    assert await case.books_hold()


async def test_a_withdrawal_comes_back(case: Case) -> None:
    beneficiary = {"name": "Zoe Lang", "iban": "DE89370400440532013000"}
    order = {"from_account": case.alices, "amount": "25.00", "currency": "EUR", "beneficiary": beneficiary}
    sent = (await case.alice.post("/transactions/withdraw", order, key="w")).json()
    cash = {"amount": "5.00", "currency": "EUR"}
    out = (await case.olga.post(f"/accounts/{case.alices}/withdraw", cash, key=str(uuid4()))).json()
    assert await case.alice.balance(case.alices) == "30.00"
    for original, amount in ((sent["id"], "20.00"), (out["id"], "5.00")):
        done = await case.reverse(original, amount=amount)
        assert (done.status_code, done.json()["from_account"]) == (201, None)
    assert (await case.reverse(sent["id"], amount="5.01")).json()["code"] == "beyond_original"
    assert await case.alice.balance(case.alices) == "55.00"
    shown = (await case.alice.get(f"/transactions/{sent['id']}")).json()
    assert shown["taken_back"]["amount"] == "20.00"
    assert await case.books_hold()


async def test_a_key_reverses_once_and_stands_for_one_request(case: Case) -> None:
    first = await case.reverse(key="k", amount="10.00")
    again = await case.reverse(key="k", amount="10.00")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json() == first.json()
    for changed in ({"amount": "10.01"}, {}, {"amount": "10.00", "reason": "other"}):
        other = await case.reverse(key="k", **changed)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await case.balances() == ("70.00", "30.00")


async def test_nobody_reverses_what_concerns_an_account_of_their_own(bank: Bank, case: Case) -> None:
    own = await case.olga.open_account()
    to_olga = (await case.alice.transfer(case.alices, own, "10.00")).json()["id"]
    from_olga = (await case.olga.transfer(own, case.bobs, "5.00")).json()["id"]
    omar = await bank.person("Omar", "operator")
    for transaction in (to_olga, from_olga):
        refused = await case.reverse(transaction, amount="1.00")
        assert (refused.status_code, refused.json()["code"]) == (403, "own_account")
        # Nor does she approve what somebody else asks for.
        body = {"amount": "1.00", "reason": "x", "force": True}
        asked = await omar.post(f"/transactions/{transaction}/reverse", body, key=str(uuid4()))
        assert asked.status_code == 202
        refused = await case.olga.call("POST", f"{asked.headers['Location']}/approve")
        assert (refused.status_code, refused.json()["code"]) == (403, "own_account")
    assert await case.olga.balance(own) == "5.00"


async def test_what_cannot_be_reversed(case: Case) -> None:
    back = (await case.reverse(amount="1.00")).json()["id"]
    funded = (await case.olga.fund(case.alices, "1.00")).json()["id"]
    failed = (await case.alice.transfer(case.alices, case.bobs, "1000.00")).json()["details"][
        "transaction_id"
    ]
    for of, more, status, code in (
        (back, {}, 422, "not_reversible"),
        (funded, {}, 422, "not_reversible"),
        (failed, {}, 422, "not_reversible"),
        (str(uuid4()), {}, 404, "transaction_not_found"),
        ("x", {}, 404, "transaction_not_found"),
        (case.paid, {"amount": "1.00", "currency": "USD"}, 422, "currency_mismatch"),
        (case.paid, {"amount": "0"}, 422, "invalid_request"),
        (case.paid, {"amount": "1.001"}, 422, "invalid_request"),
        (case.paid, {"reason": " "}, 422, "invalid_request"),
        (case.paid, {"reason": "x" * 141}, 422, "invalid_request"),
        (case.paid, {"force": "yes"}, 422, "invalid_request"),
    ):
        refused = await case.reverse(of, **more)
        assert (refused.status_code, refused.json()["code"]) == (status, code), (of, more)
    body = {"reason": "x"}
    for customer in (case.alice, case.bob):
        answer = await customer.post(f"/transactions/{case.paid}/reverse", body, key=str(uuid4()))
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    keyless = await case.olga.post(f"/transactions/{case.paid}/reverse", body)
    assert (keyless.status_code, keyless.json()["code"]) == (400, "idempotency_key_missing")
    assert await case.books_hold()


async def test_frozen_accounts_take_part_and_closed_ones_do_not(case: Case) -> None:
    for account in (case.alices, case.bobs):
        await case.olga.patch(f"/accounts/{account}/freeze", {"reason": "x"})
    assert (await case.reverse(amount="10.00")).status_code == 201
    for account in (case.alices, case.bobs):
        await case.olga.patch(f"/accounts/{account}/unfreeze", {"reason": "x"})
    assert (await case.bob.transfer(case.bobs, case.alices, "30.00")).status_code == 201
    assert (await case.bob.patch(f"/accounts/{case.bobs}/close", {})).status_code == 200
    refused = await case.reverse(amount="10.00")
    assert (refused.status_code, refused.json()["code"]) == (422, "account_closed")
    assert await case.alice.balance(case.alices) == "100.00"
    assert await case.books_hold()


async def test_money_that_is_gone_is_taken_back_by_force_and_with_a_second_person_only(
    bank: Bank, case: Case
) -> None:
    omar = await bank.person("Omar", "operator")
    third = await case.alice.open_account()
    assert (await case.bob.transfer(case.bobs, third, "35.00")).status_code == 201
    refused = await case.reverse()
    assert (refused.status_code, refused.json()["code"]) == (422, "insufficient_funds")
    line = (await case.bob.get(f"/accounts/{case.bobs}/transactions")).json()["items"][0]
    assert (line["kind"], line["status"]) == ("reversal", "failed")

    # This bank asks for no second person otherwise.
    asked = await case.reverse(key="forced", force=True)
    assert (asked.status_code, asked.json()["act"], asked.json()["status"]) == (202, "reverse", "pending")
    assert asked.json()["parameters"]["force"] is True
    assert (await case.olga.call("POST", f"{asked.headers['Location']}/approve")).json()[
        "code"
    ] == "own_request"
    assert await case.balances() == ("60.00", "5.00")
    done = await omar.call("POST", f"{asked.headers['Location']}/approve")
    assert (done.status_code, done.json()["outcome"]["status"]) == (200, "completed")
    assert await case.balances() == ("100.00", "-35.00")
    told = await case.reverse(key="forced", force=True)
    assert (told.status_code, told.headers["Idempotent-Replayed"]) == (201, "true")
    assert told.json()["description"] == f"Forced reversal of transaction {case.paid}"
    assert await case.books_hold()

    # Below zero nothing can be paid, and money that comes in makes up for it.
    poor = await case.bob.transfer(case.bobs, case.alices, "0.01")
    assert (poor.status_code, poor.json()["code"]) == (422, "insufficient_funds")
    assert (await case.bob.patch(f"/accounts/{case.bobs}/close", {})).json()["code"] == "account_not_empty"
    assert (await case.olga.fund(case.bobs, "36.00")).status_code == 201
    assert (await case.bob.transfer(case.bobs, case.alices, "1.00")).status_code == 201
    assert await case.books_hold()


@pytest.fixture
async def careful_bank(mongo_uri: str) -> AsyncIterator[Bank]:
    policy = {"staff_policy": asking_for("reverse")}
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT, banking=policy) as running:
        yield running


async def test_where_policy_says_so_every_reversal_waits(careful_bank: Bank) -> None:
    case = await begin(careful_bank)
    omar, oona = [await careful_bank.person(name, "operator") for name in ("Omar", "Oona")]
    requests = [await case.reverse(key=key, amount="25.00") for key in ("one", "other")]
    assert [asked.status_code for asked in requests] == [202, 202]
    assert (await case.reverse(amount="40.01")).json()["code"] == "beyond_original"
    assert (await case.reverse(key="one", amount="25.00")).json() == requests[0].json()
    assert (await case.reverse(key="one", amount="24.00")).json()["code"] == "idempotency_key_reused"
    assert await case.balances() == ("60.00", "40.00")
    # Both could be booked when they were asked for; together they are more than the original.
    approvals = [
        approver.call("POST", f"{asked.headers['Location']}/approve")
        for approver, asked in zip((omar, oona), requests, strict=True)
    ]
    answers = await asyncio.gather(*approvals)
    assert sorted(answer.status_code for answer in answers) == [200, 422]
    [refused] = [answer for answer in answers if answer.status_code == 422]
    assert refused.json()["code"] == "beyond_original"
    assert await case.balances() == ("85.00", "15.00")
    [entry] = [
        entry
        for entry in (await omar.get(f"/audit/ledger?target={case.bobs}&action=reverse")).json()["items"]
        if entry["after"]["status"] == "completed"
    ]
    assert entry["approval"]["requested_by"]["display_name"] == "Olga"
    assert await case.books_hold()


async def test_a_reader_sees_only_follow_ups_that_concern_them(bank: Bank, case: Case) -> None:
    omar = await bank.person("Omar", "operator")
    body = {"direction": "debit", "amount": "1.00", "currency": "EUR", "reason": "fee", "corrects": case.paid}
    asked = await case.olga.post(f"/accounts/{case.bobs}/adjust", body, key=str(uuid4()))
    assert (await omar.call("POST", f"{asked.headers['Location']}/approve")).status_code == 200
    assert (await case.reverse(amount="2.00")).status_code == 201
    seen = {}
    for name, reader in (("alice", case.alice), ("bob", case.bob), ("olga", case.olga)):
        original = (await reader.get(f"/transactions/{case.paid}")).json()
        # A correction takes nothing back of what it corrects.
        assert original["taken_back"]["amount"] == "2.00"
        seen[name] = [later["kind"] for later in original["follow_ups"]]
    assert seen == {
        "alice": ["reversal"],
        "bob": ["reversal", "adjustment"],
        "olga": ["reversal", "adjustment"],
    }
