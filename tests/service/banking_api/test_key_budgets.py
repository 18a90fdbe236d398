"""API keys with a budget: what one may pay is decided with the payment, for many at once and in batches."""

import asyncio
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest

from tests.support.bank import PASSWORD, Bank, Person, people

IBAN = "DE89370400440532013000"


@dataclass
class Shop:
    """Alice with 100 euro, whose script pays Bob."""

    alice: Person
    operator: Person
    sender: str
    receiver: str

    async def script(self, **budget: Any) -> Person:
        body = {"password": PASSWORD, "name": "agent", "scopes": ["use_own_accounts"], "budget": budget}
        made = await self.alice.post("/auth/tokens", body)
        assert made.status_code == 201, made.text
        assert made.json()["key"]["budget"] == {
            "currency": None,
            "max_payment": None,
            "max_day": None,
            "payees": None,
            **budget,
        }
        return replace(self.alice, headers={"Authorization": f"Bearer {made.json()['token']}"})

    async def pays(self, script: Person, amount: str, *, to: str = "") -> str:
        answer = await script.transfer(self.sender, to or self.receiver, amount)
        return "paid" if answer.status_code == 201 else str(answer.json()["code"])


@pytest.fixture
async def shop(bank: Bank) -> Shop:
    alice, _, operator, sender, receiver = await people(bank)
    return Shop(alice, operator, sender, receiver)


async def test_a_key_pays_within_its_budget_and_no_more(shop: Shop) -> None:
    script = await shop.script(currency="EUR", max_payment="10.00", max_day="25.00")
    assert [await shop.pays(script, amount) for amount in ("10.01", "10.00", "10.00", "5.01", "5.00")] == [
        "budget_payment",
        "paid",
        "paid",
        "budget_day",
        "paid",
    ]
    assert await shop.pays(script, "0.01") == "budget_day"
    # Its owner, and another key, are not bound by it.
    assert (await shop.alice.transfer(shop.sender, shop.receiver, "20.00")).status_code == 201
    other = await shop.script(currency="EUR", max_day="1.00")
    assert await shop.pays(other, "1.00") == "paid"
    assert await shop.alice.balance(shop.sender) == "54.00"
    assert (await shop.operator.get("/ledger/proof")).json()["holds"] is True


async def test_a_key_pays_those_whom_it_may_pay(shop: Shop) -> None:
    own = await shop.alice.open_account()
    script = await shop.script(payees=[own, IBAN])
    assert await shop.pays(script, "1.00") == "budget_payee"
    assert await shop.pays(script, "1.00", to=own) == "paid"

    async def withdraws(iban: str) -> int:
        order = {"amount": "1.00", "currency": "EUR", "beneficiary": {"name": "Zoe", "iban": iban}}
        body = {"from_account": shop.sender, **order}
        return (await script.post("/transactions/withdraw", body, key=str(uuid4()))).status_code

    assert [await withdraws(IBAN), await withdraws("GB82WEST12345698765432")] == [201, 422]


async def test_a_withdrawal_counts_and_another_currency_is_refused(shop: Shop) -> None:
    script = await shop.script(currency="EUR", max_day="10.00")
    order = {"amount": "6.00", "currency": "EUR", "beneficiary": {"name": "Zoe", "iban": IBAN}}
    body = {"from_account": shop.sender, **order}
    assert (await script.post("/transactions/withdraw", body, key=str(uuid4()))).status_code == 201
    assert await shop.pays(script, "4.01") == "budget_day"
    dollars = [await shop.alice.open_account("USD") for _ in range(2)]
    fund = {"amount": "5.00", "currency": "USD"}
    funded = await shop.operator.post(f"/accounts/{dollars[0]}/fund", fund, key=str(uuid4()))
    assert funded.status_code == 201
    answer = await script.transfer(*dollars, "1.00", currency="USD")
    assert (answer.status_code, answer.json()["code"]) == (422, "budget_currency")


async def test_many_at_once_exceed_nothing(shop: Shop) -> None:
    script = await shop.script(currency="EUR", max_day="10.00")
    answers = await asyncio.gather(*(shop.pays(script, "1.00") for _ in range(25)))
    assert sorted(answers) == ["budget_day"] * 15 + ["paid"] * 10
    assert await shop.alice.balance(shop.sender) == "90.00"


async def test_a_batch_and_its_preview_keep_to_it(shop: Shop) -> None:
    script = await shop.script(currency="EUR", max_day="2.50")
    row = {"from_account": shop.sender, "to_account": shop.receiver, "amount": "1.00", "currency": "EUR"}
    rows = [{**row, "idempotency_key": str(uuid4())} for _ in range(4)]
    preview = (await script.post("/transactions/batch/preview", {"transfers": rows})).json()
    codes = [(one["problem"] or {}).get("code") for one in preview["results"]]
    assert codes == [None, None, "budget_day", "budget_day"]
    done = (await script.post("/transactions/batch", {"transfers": rows})).json()["results"]
    assert [one["outcome"] for one in done] == ["completed", "completed", "failed", "failed"]
    atomic = [{**row, "idempotency_key": str(uuid4())} for _ in range(2)]
    refused = await script.post("/transactions/batch", {"transfers": atomic, "atomic": True})
    assert {one["outcome"] for one in refused.json()["results"]} == {"refused"}
    one = await script.post("/transactions/preview", row)
    assert one.json()["failure"]["code"] == "budget_day"


async def test_a_payment_that_is_sent_again_counts_once(shop: Shop) -> None:
    script = await shop.script(currency="EUR", max_day="2.00")
    for replayed in (None, "true"):
        answer = await script.transfer(shop.sender, shop.receiver, "1.00", key="same")
        assert (answer.status_code, answer.headers.get("Idempotent-Replayed")) == (201, replayed)
    assert await shop.pays(script, "1.00") == "paid"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"budget": {"max_day": "1.00"}}, "budget"),
        ({"budget": {"currency": "EUR"}}, "budget"),
        ({"budget": {}}, "budget"),
        ({"budget": {"payees": ["4000000007"]}}, "budget.payees.0"),
        ({"budget": {"payees": ["DE00370400440532013000"]}}, "budget.payees.0"),
        ({"budget": {"currency": "EUR", "max_day": "-1"}}, "budget.max_day"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2999-01-01T00:00:00Z"}, "expires_at"),
    ],
)
async def test_a_budget_that_means_nothing_is_refused(shop: Shop, wrong: dict[str, Any], field: str) -> None:
    body = {"password": PASSWORD, "name": "agent", "scopes": ["use_own_accounts"], **wrong}
    answer = await shop.alice.post("/auth/tokens", body)
    assert answer.status_code in {400, 422}
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


async def test_a_budget_bounds_all_that_its_key_may_move(bank: Bank) -> None:
    operator = await bank.person("Olga", "operator")
    body = {"password": PASSWORD, "name": "agent", "budget": {"currency": "EUR", "max_day": "1.00"}}
    refused = await operator.post("/auth/tokens", {**body, "scopes": ["use_own_accounts", "fund_accounts"]})
    assert "does not bound fund_accounts" in refused.json()["detail"]
    made = await operator.post("/auth/tokens", {**body, "scopes": ["use_own_accounts", "read_any_account"]})
    assert made.status_code == 201
