"""Corrections of a balance by the bank: always two people, one transaction, told and recorded."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from daemons.banking_api.kinds.adjustment import Adjustment
from daemons.banking_api.kinds.kind import concerned
from daemons.banking_api.ledger.documents import record_from
from tests.support.bank import Bank, Person


class Desk:
    """Alice's account with 100.00 on it, and two operators."""

    def __init__(self, alice: Person, olga: Person, omar: Person, account: str, funded: str) -> None:
        self.alice, self.olga, self.omar, self.account, self.funded = alice, olga, omar, account, funded

    async def ask(
        self, direction: str, amount: str, *, key: str | None = None, **more: Any
    ) -> httpx.Response:
        body = {"direction": direction, "amount": amount, "currency": "EUR", "reason": "booked twice", **more}
        return await self.olga.post(f"/accounts/{self.account}/adjust", body, key=key or str(uuid4()))

    async def approve(self, asked: httpx.Response, by: Person | None = None) -> httpx.Response:
        assert asked.status_code == 202, asked.text
        return await (by or self.omar).call("POST", f"{asked.headers['Location']}/approve")

    async def balance(self) -> str:
        return await self.alice.balance(self.account)

    async def proof_holds(self) -> bool:
        return bool((await self.olga.get("/ledger/proof")).json()["holds"])


@pytest.fixture
async def desk(bank: Bank) -> Desk:
    alice = await bank.person()
    olga, omar = [await bank.person(name, "operator") for name in ("Olga", "Omar")]
    account = await alice.open_account()
    funded = await olga.fund(account, "100.00")
    assert funded.status_code == 201
    return Desk(alice, olga, omar, account, funded.json()["id"])


async def test_a_debit_waits_for_a_second_person_and_is_told_in_all_books(bank: Bank, desk: Desk) -> None:
    asked = await desk.ask("debit", "40.00", corrects=desk.funded)
    request = asked.json()
    assert (request["act"], request["status"]) == ("adjust", "pending")
    assert request["parameters"]["corrects"] == desk.funded
    assert await desk.balance() == "100.00"
    done = (await desk.approve(asked)).json()
    assert await desk.balance() == "60.00"

    booked = (await desk.olga.get(f"/transactions/{done['outcome']['transaction_id']}")).json()
    assert (booked["kind"], booked["status"], booked["corrects"]) == ("adjustment", "completed", desk.funded)
    assert (booked["from_account"], booked["to_account"]) == (desk.account, None)
    assert booked["initiated_by"] == desk.olga.user_id
    # Each of the two names the other.
    corrected = (await desk.olga.get(f"/transactions/{desk.funded}")).json()
    [later] = corrected["follow_ups"]
    assert (later["id"], later["kind"], later["amount"]["amount"]) == (booked["id"], "adjustment", "40.00")
    assert corrected["taken_back"] == {"amount": "0.00", "currency": "EUR"}
    line = (await desk.alice.get(f"/accounts/{desk.account}/transactions")).json()["items"][0]
    assert (line["kind"], line["amount"], line["balance_after"]) == ("adjustment", "-40.00", "60.00")
    assert (line["reference"], line["counterparty"]) == ("booked twice", None)

    record = (await desk.olga.get(f"/audit/ledger?target={desk.account}&action=adjust")).json()["items"][0]
    assert (record["actor"]["display_name"], record["reason"]) == ("Omar", "booked twice")
    assert record["approval"]["requested_by"]["display_name"] == "Olga"
    assert (record["before"]["balance"], record["after"]["balance"]) == ("100.00", "60.00")
    assert (record["after"]["direction"], record["after"]["corrects"]) == ("debit", desk.funded)
    # What goes out is made of the transaction.
    stored = await bank.ledger["journal"].find_one({"_id": UUID(done["outcome"]["transaction_id"])})
    assert stored is not None
    record = record_from(stored)
    users: dict[UUID, dict[str, Any]] = {user: {} for user in concerned(record)}
    assert Adjustment.event(record, users).type == "AccountAdjusted"
    assert await desk.proof_holds()


async def test_a_credit_and_its_repetitions(desk: Desk) -> None:
    asked = await desk.ask("credit", "7.50", key="fee")
    assert (await desk.ask("credit", "7.50", key="fee")).json() == asked.json()
    other = await desk.ask("credit", "7.60", key="fee")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    answers = await asyncio.gather(*(desk.approve(asked) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert await desk.balance() == "107.50"
    again = await desk.ask("credit", "7.50", key="fee")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json()["from_account"] is None
    assert await desk.balance() == "107.50"
    assert await desk.proof_holds()


async def test_nobody_adjusts_alone_and_customers_not_at_all(desk: Desk) -> None:
    asked = await desk.ask("credit", "1.00")
    own = await desk.approve(asked, by=desk.olga)
    assert (own.status_code, own.json()["code"]) == (403, "own_request")
    body = {"direction": "credit", "amount": "1.00", "currency": "EUR", "reason": "x"}
    customers = await desk.alice.post(f"/accounts/{desk.account}/adjust", body, key="k")
    assert (customers.status_code, customers.json()["code"]) == (403, "forbidden")
    assert await desk.balance() == "100.00"


async def test_a_frozen_account_is_corrected_and_stays_frozen(desk: Desk) -> None:
    await desk.olga.patch(f"/accounts/{desk.account}/freeze", {"reason": "court order"})
    assert (await desk.approve(await desk.ask("debit", "100.00"))).status_code == 200
    assert (await desk.approve(await desk.ask("credit", "2.00"))).status_code == 200
    shown = (await desk.alice.get(f"/accounts/{desk.account}")).json()
    assert (shown["status"], shown["balance"]["amount"]) == ("frozen", "2.00")
    assert await desk.proof_holds()


async def test_what_has_become_impossible_is_settled_as_refused(desk: Desk) -> None:
    other = await desk.alice.open_account()
    asked = await desk.ask("debit", "90.00", key="late")
    assert (await desk.alice.transfer(desk.account, other, "50.00")).status_code == 201
    refused = await desk.approve(asked)
    assert (refused.status_code, refused.json()["code"]) == (422, "insufficient_funds")
    shown = (await desk.omar.get(asked.headers["Location"])).json()
    assert (shown["status"], shown["outcome"]["status"]) == ("approved", "failed")
    again = await desk.ask("debit", "90.00", key="late")
    assert (again.status_code, again.json()["code"]) == (422, "insufficient_funds")
    assert await desk.balance() == "50.00"
    line = (await desk.alice.get(f"/accounts/{desk.account}/transactions")).json()["items"][0]
    assert (line["status"], line["failure"]["code"]) == ("failed", "insufficient_funds")
    assert await desk.proof_holds()


async def test_what_cannot_be_done_is_not_requested(desk: Desk) -> None:
    strangers = await desk.alice.open_account()
    elsewhere = (await desk.olga.fund(strangers, "1.00")).json()["id"]
    before = (await desk.olga.get("/approvals/ledger?limit=200")).json()["items"]
    for direction, amount, more, status, code in (
        ("debit", "100.01", {}, 422, "insufficient_funds"),
        ("credit", "1.00", {"currency": "USD"}, 422, "currency_mismatch"),
        ("credit", "1.00", {"corrects": str(uuid4())}, 404, "transaction_not_found"),
        ("credit", "1.00", {"corrects": elsewhere}, 422, "nothing_to_correct"),
        ("credit", "1.00", {"corrects": "x"}, 422, "invalid_request"),
        ("credit", "1.00", {"reason": " "}, 422, "invalid_request"),
        ("credit", "1.00", {"reason": "x" * 141}, 422, "invalid_request"),
        ("credit", "0", {}, 422, "invalid_request"),
        ("credit", "1.001", {}, 422, "invalid_request"),
        ("sideways", "1.00", {}, 422, "invalid_request"),
    ):
        answer = await desk.ask(direction, amount, **more)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (direction, amount, more)
    body = {"direction": "credit", "amount": "1.00", "currency": "EUR", "reason": "x"}
    for account in ("1000000009", "adjustment:EUR", "settlement:EUR"):
        answer = await desk.olga.post(f"/accounts/{account}/adjust", body, key=str(uuid4()))
        assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
    keyless = await desk.olga.post(f"/accounts/{desk.account}/adjust", body)
    assert (keyless.status_code, keyless.json()["code"]) == (400, "idempotency_key_missing")
    assert (await desk.olga.get("/approvals/ledger?limit=200")).json()["items"] == before


async def test_no_customer_pays_to_or_from_the_banks_own_account(desk: Desk) -> None:
    await desk.approve(await desk.ask("credit", "1.00"))
    for sides in (("adjustment:EUR", desk.account), (desk.account, "adjustment:EUR")):
        assert (await desk.alice.transfer(*sides, "1.00")).status_code == 422
