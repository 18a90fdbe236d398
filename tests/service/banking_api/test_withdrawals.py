"""Money that leaves the bank: by its owner to an account elsewhere, and at the counter."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.bank import CLOSED_PORT, Bank, Person, people, running_bank
from tests.support.policies import asking_for

IBAN = "DE89370400440532013000"


def order(account: str, amount: str = "30.00", **more: Any) -> dict[str, Any]:
    beneficiary = {"name": "Zoe Lang", "iban": IBAN}
    return {
        "from_account": account,
        "amount": amount,
        "currency": "EUR",
        "beneficiary": beneficiary,
        "reference": "invoice 7",
        **more,
    }


async def withdraw(person: Person, body: dict[str, Any], key: str | None = None) -> httpx.Response:
    return await person.post("/transactions/withdraw", body, key=key or str(uuid4()))


async def pay_out(operator: Person, account: str, amount: str, key: str | None = None) -> httpx.Response:
    body = {"amount": amount, "currency": "EUR", "reference": "cash"}
    return await operator.post(f"/accounts/{account}/withdraw", body, key=key or str(uuid4()))


async def settlement(operator: Person) -> str:
    """What the settlement account holds is what all customers lack: the proof holds only if it is so."""
    proof = (await operator.get("/ledger/proof")).json()
    assert proof["holds"], proof["mismatches"]
    [euro] = [one for one in proof["currencies"] if one["currency"] == "EUR"]
    return str(euro["sum_minor"])


async def test_an_owner_pays_to_an_account_elsewhere(bank: Bank) -> None:
    alice, bob, operator, sender, _ = await people(bank)
    paid = await withdraw(alice, order(sender))
    body = paid.json()
    assert (paid.status_code, body["kind"], body["status"]) == (201, "withdrawal", "completed")
    assert (body["from_account"], body["to_account"]) == (sender, None)
    assert body["beneficiary"] == {"name": "Zoe Lang", "iban": IBAN}
    assert await alice.balance(sender) == "70.00"
    [line, _] = (await alice.get(f"/accounts/{sender}/transactions")).json()["items"]
    assert (line["kind"], line["amount"], line["balance_after"]) == ("withdrawal", "-30.00", "70.00")
    assert line["counterparty"] == {"account_id": IBAN, "display_name": "Zoe Lang"}
    assert (line["reference"], line["description"]) == ("invoice 7", "Withdrawal to Zoe Lang (DE89…3000)")
    assert (await bob.get(f"/transactions/{body['id']}")).status_code == 404
    assert await settlement(operator) == "0"
    # No administrative act: the owner's own money.
    audit = (await operator.get(f"/audit/ledger?target={sender}")).json()["items"]
    assert [entry["action"] for entry in audit] == ["fund"]


async def test_a_key_pays_once_and_stands_for_one_request(bank: Bank) -> None:
    alice, _, _, sender, _ = await people(bank)
    first = await withdraw(alice, order(sender), key="k")
    again = await withdraw(alice, order(sender), key="k")
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.json() == first.json()
    for changed in (
        {"amount": "30.01"},
        {"reference": None},
        {"beneficiary": {"name": "Zoe Long", "iban": IBAN}},
        {"beneficiary": {"name": "Zoe Lang", "iban": "GB82WEST12345698765432"}},
    ):
        other = await withdraw(alice, order(sender, **changed), key="k")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    at_once = await asyncio.gather(*(withdraw(alice, order(sender, "1.00"), key="k2") for _ in range(10)))
    assert {answer.status_code for answer in at_once} <= {201, 409}
    assert await alice.balance(sender) == "69.00"


async def test_what_is_refused_moves_nothing_and_is_kept(bank: Bank) -> None:
    alice, bob, operator, sender, bobs = await people(bank)
    dollars = await alice.open_account("USD")
    frozen, closed = await alice.open_account(), await alice.open_account()
    await operator.patch(f"/accounts/{frozen}/freeze", {"reason": "x"})
    await alice.patch(f"/accounts/{closed}/close", {})
    for account, amount, status, code in (
        (sender, "100.01", 422, "insufficient_funds"),
        (bobs, "1.00", 404, "account_not_found"),
        ("4000000006", "1.00", 404, "account_not_found"),
        (dollars, "1.00", 422, "currency_mismatch"),
        (frozen, "1.00", 422, "account_frozen"),
        (closed, "1.00", 422, "account_closed"),
    ):
        refused = await withdraw(alice, order(account, amount))
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        kept = (await alice.get(f"/transactions/{refused.json()['details']['transaction_id']}")).json()
        assert (kept["status"], kept["failure"]["code"]) == ("failed", code)
    assert await alice.balance(sender) == "100.00"
    assert (await bob.get(f"/accounts/{bobs}/transactions")).json()["items"] == []


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"beneficiary": {"name": "Zoe", "iban": "DE98370400440532013000"}}, "beneficiary.iban"),
        ({"beneficiary": {"name": "Zoe", "iban": "DE89 3704 0044 0532 0130 00"}}, "beneficiary.iban"),
        ({"beneficiary": {"name": " ", "iban": IBAN}}, "beneficiary.name"),
        ({"beneficiary": None}, "beneficiary"),
        ({"amount": "0"}, "amount"),
        ({"amount": "1.001"}, "amount"),
        ({"from_account": "settlement:EUR"}, "from_account"),
        ({"reference": "a\nb"}, "reference"),
        ({"more": 1}, "more"),
    ],
)
async def test_a_malformed_order_names_its_field_and_changes_nothing(
    bank: Bank, changed: dict[str, Any], field: str
) -> None:
    alice, _, _, sender, _ = await people(bank)
    refused = await withdraw(alice, order(sender, **changed))
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert [error["field"] for error in refused.json()["errors"]] == [field]
    assert await alice.balance(sender) == "100.00"
    assert len((await alice.get("/transactions")).json()["items"]) == 0


async def test_an_operator_books_what_was_handed_out(bank: Bank) -> None:
    alice, bob, operator, sender, _ = await people(bank)
    paid = await pay_out(operator, sender, "40.00", key="cash")
    body = paid.json()
    assert (paid.status_code, body["kind"], body["beneficiary"]) == (201, "withdrawal", None)
    assert (await pay_out(operator, sender, "40.00", key="cash")).headers["Idempotent-Replayed"] == "true"
    assert (await pay_out(operator, sender, "40.01", key="cash")).json()["code"] == "idempotency_key_reused"
    assert await alice.balance(sender) == "60.00"
    line = (await alice.get(f"/accounts/{sender}/transactions")).json()["items"][0]
    assert (line["description"], line["counterparty"]) == ("Withdrawal at the counter", None)
    [entry] = (await operator.get(f"/audit/ledger?target={sender}&action=withdraw")).json()["items"]
    assert (entry["before"]["balance"], entry["after"]["balance"]) == ("100.00", "60.00")
    assert (entry["reason"], entry["actor"]["display_name"]) == ("cash", "Olga")
    assert (await pay_out(operator, sender, "60.01")).json()["code"] == "insufficient_funds"
    await operator.patch(f"/accounts/{sender}/freeze", {"reason": "x"})
    assert (await pay_out(operator, sender, "1.00")).json()["code"] == "account_frozen"
    for customer in (alice, bob):
        assert (await pay_out(customer, sender, "1.00")).json()["code"] == "forbidden"
    own = await operator.open_account()
    assert (await pay_out(operator, own, "1.00")).json()["code"] == "own_account"
    assert (await pay_out(operator, "4000000006", "1.00")).json()["code"] == "account_not_found"
    assert await settlement(operator) == "0"


async def test_many_at_once_never_pay_more_than_there_is(bank: Bank) -> None:
    alice, _, operator, sender, receiver = await people(bank)
    answers = await asyncio.gather(
        *(withdraw(alice, order(sender, "9.00")) for _ in range(10)),
        *(pay_out(operator, sender, "9.00") for _ in range(10)),
        *(alice.transfer(sender, receiver, "9.00") for _ in range(10)),
    )
    assert sorted(answer.status_code for answer in answers) == [201] * 11 + [422] * 19
    assert await alice.balance(sender) == "1.00"
    assert await settlement(operator) == "0"


@pytest.fixture
async def careful_bank(mongo_uri: str) -> AsyncIterator[Bank]:
    policy = {"staff_policy": asking_for("withdraw", alone={"EUR": 50})}
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT, banking=policy) as running:
        yield running


async def test_beyond_a_limit_the_counter_waits_for_a_second_person(careful_bank: Bank) -> None:
    alice, _, olga, account, _ = await people(careful_bank, "500.00")
    omar = await careful_bank.person("Omar", "operator")
    assert (await pay_out(olga, account, "30.00")).status_code == 201
    asked = await pay_out(olga, account, "20.01", key="big")
    request = asked.json()
    assert (asked.status_code, request["act"], request["status"]) == (202, "withdraw", "pending")
    assert (request["parameters"]["amount"], request["target"]["id"]) == ("20.01", account)
    assert (await pay_out(olga, account, "20.01", key="big")).json() == request
    assert (await pay_out(olga, account, "20.02", key="big")).json()["code"] == "idempotency_key_reused"
    assert (await pay_out(olga, account, "470.01")).json()["code"] == "insufficient_funds"
    own = await olga.call("POST", f"{asked.headers['Location']}/approve")
    assert (own.status_code, own.json()["code"]) == (403, "own_request")
    assert await alice.balance(account) == "470.00"
    done = await omar.call("POST", f"{asked.headers['Location']}/approve")
    assert (done.status_code, done.json()["outcome"]["status"]) == (200, "completed")
    assert await alice.balance(account) == "449.99"
    told = await pay_out(olga, account, "20.01", key="big")
    assert (told.status_code, told.headers["Idempotent-Replayed"]) == (201, "true")
    # What two people have booked takes nothing of what one may book alone; owners are not asked.
    assert (await pay_out(olga, account, "20.00")).status_code == 201
    assert (await withdraw(alice, order(account, "400.00"))).status_code == 201
    [entry] = (await olga.get(f"/audit/ledger?target={account}&action=withdraw&limit=200")).json()["items"][
        1:2
    ]
    assert entry["approval"]["requested_by"]["display_name"] == "Olga"
    assert await settlement(olga) == "0"
