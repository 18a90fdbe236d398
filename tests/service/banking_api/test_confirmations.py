"""Payments above an amount are confirmed by the second factor, each for itself (docs/adr/0034)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pyotp
import pytest

from daemons.contracts.vocabulary import batch_digest
from daemons.shared.auth.keys import confirmation_signing_key, session_signing_key
from daemons.shared.auth.payment_confirmations import ConfirmationSigner, Confirmed
from daemons.shared.clock import utc_now
from tests.support.bank import CLOSED_PORT, PASSWORD, Bank, Person, people, running_bank, secret_of

IBAN = "DE89370400440532013000"
REQUIRED, REFUSED = (403, "payment_confirmation_required"), (403, "payment_confirmation_refused")


@pytest.fixture(scope="module")
async def careful(mongo_uri: str) -> AsyncIterator[Bank]:
    """A bank where 50.00 EUR a day are paid without a code, and nothing in other currencies."""
    settings = {"payment_confirmation_above": "EUR=50"}
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT, banking=settings) as running:
        yield running


class Payer:
    """Somebody with a second factor and an account with 1,000.00 EUR, and whom they pay."""

    def __init__(self, person: Person, secret: str, sender: str, receiver: str) -> None:
        self.person = person
        self.sender = sender
        self.receiver = receiver
        self._totp = pyotp.TOTP(secret)
        self._steps = 0

    def code(self) -> str:
        """A code that was not used yet: the bank takes those of the step before and after as well."""
        code = self._totp.at(utc_now() + timedelta(seconds=30 * self._steps))
        self._steps += 1
        return code

    def order(self, amount: str = "60.00", **more: Any) -> dict[str, Any]:
        order = {"from_account": self.sender, "to_account": self.receiver, "amount": amount}
        return {**order, "currency": "EUR", **more}

    async def confirm(self, *payments: dict[str, Any], code: str | None = None) -> httpx.Response:
        body = {"payments": list(payments), "totp": code or self.code()}
        return await self.person.post("/auth/payment-confirmations", body)

    async def confirmation(self, payment: dict[str, Any]) -> str:
        answer = await self.confirm(payment)
        assert answer.status_code == 201, answer.text
        [token] = answer.json()["confirmations"]
        return str(token)

    async def pay(
        self,
        order: dict[str, Any],
        *,
        key: str,
        confirmation: str | None = None,
        path: str = "/transactions/transfer",
    ) -> httpx.Response:
        headers = {} if confirmation is None else {"Payment-Confirmation": confirmation}
        return await self.person.call("POST", path, order, key=key, **headers)

    async def balance(self) -> str:
        return await self.person.balance(self.sender)


async def payer_at(bank: Bank) -> Payer:
    alice, _, _, sender, receiver = await people(bank, "1000.00")
    begun = (await alice.post("/auth/totp", {"password": PASSWORD})).json()
    payer = Payer(alice, begun["secret"], sender, receiver)
    payer._steps = -1
    confirmed = await alice.post("/auth/totp/confirm", {"totp": payer.code()})
    assert confirmed.status_code == 200, confirmed.text
    return payer


@pytest.fixture
async def payer(careful: Bank) -> Payer:
    return await payer_at(careful)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def named(order: dict[str, Any], key: str) -> dict[str, Any]:
    """A payment as it is confirmed: without its reference, with its key."""
    fields = {name: value for name, value in order.items() if name != "reference"}
    return {**fields, "idempotency_key": key}


async def test_a_payment_above_the_amount_is_made_once_it_is_confirmed(payer: Payer, key: str) -> None:
    order = payer.order(reference="rent")
    refused = await payer.pay(order, key=key)
    assert code_of(refused) == REQUIRED
    assert refused.json()["details"] == {"limit": "50.00", "left": "50.00", "currency": "EUR"}
    assert await payer.balance() == "1000.00"
    paid = await payer.pay(order, key=key, confirmation=await payer.confirmation(named(order, key)))
    assert (paid.status_code, paid.json()["status"]) == (201, "completed")
    assert await payer.balance() == "940.00"


async def test_a_repeated_request_gets_its_outcome_without_a_confirmation(payer: Payer, key: str) -> None:
    order = payer.order()
    token = await payer.confirmation(named(order, key))
    paid = await payer.pay(order, key=key, confirmation=token)
    for confirmation in (None, token, "none of ours"):
        again = await payer.pay(order, key=key, confirmation=confirmation)
        assert (again.status_code, again.json()) == (201, paid.json())
        assert again.headers["Idempotent-Replayed"] == "true"
    assert await payer.balance() == "940.00"


async def test_a_confirmation_is_good_for_its_payment_alone(careful: Bank, payer: Payer, key: str) -> None:
    order, other = payer.order(), await payer_at(careful)
    token = await payer.confirmation(named(order, key))
    second = await payer.person.open_account()
    assert (await payer.pay(payer.order("100.00", to_account=second), key="own")).status_code == 201
    for changed, its_key in (
        ({**order, "amount": "60.01"}, key),
        # Below the amount, too: what was sent as a confirmation is looked at.
        ({**order, "amount": "1.00"}, key),
        ({**order, "to_account": other.receiver}, key),
        ({**order, "from_account": second}, key),
        (order, "another-key"),
    ):
        refused = await payer.pay(changed, key=its_key, confirmation=token)
        assert code_of(refused) == REFUSED, (changed, refused.text)
    beneficiary = {"name": "Zoe Lang", "iban": IBAN}
    withdrawal = {name: value for name, value in order.items() if name != "to_account"}
    answer = await payer.pay(
        {**withdrawal, "beneficiary": beneficiary},
        key="w",
        confirmation=token,
        path="/transactions/withdraw",
    )
    assert code_of(answer) == REFUSED
    assert await payer.balance() == "900.00"


async def test_nobody_pays_by_somebody_elses_confirmation(careful: Bank, payer: Payer, key: str) -> None:
    other = await payer_at(careful)
    order = payer.order()
    # Another confirms exactly what the payer orders.
    token = await other.confirmation(named(order, key))
    assert code_of(await payer.pay(order, key=key, confirmation=token)) == REFUSED
    assert await payer.balance() == "1000.00"


@pytest.mark.parametrize(
    ("secret", "age", "derived"),
    [
        ("of user_api", timedelta(minutes=5, seconds=1), confirmation_signing_key),
        ("of user_api", timedelta(0), session_signing_key),
        ("of somebody else, and long enough too", timedelta(0), confirmation_signing_key),
    ],
    ids=["expired", "signed by the key of sessions", "forged"],
)
async def test_a_confirmation_that_user_api_does_not_stand_by_is_refused(
    careful: Bank, payer: Payer, key: str, secret: str, age: timedelta, derived: Any
) -> None:
    order = payer.order()
    known = secret_of(careful.suffix) if secret == "of user_api" else secret
    confirmed = Confirmed(uuid4(), UUID(payer.person.user_id), named(order, key))
    token = ConfirmationSigner(derived(known)).sign(confirmed, at=utc_now() - age)
    assert code_of(await payer.pay(order, key=key, confirmation=token)) == REFUSED
    assert await payer.balance() == "1000.00"
    # It is the age or the key alone: the same by the right key pays.
    good = ConfirmationSigner(confirmation_signing_key(secret_of(careful.suffix)))
    paid = await payer.pay(order, key=key, confirmation=good.sign(confirmed, at=utc_now()))
    assert paid.status_code == 201, paid.text


async def test_a_session_token_confirms_nothing(payer: Payer, key: str) -> None:
    token = payer.person.headers["Cookie"].partition("=")[2]
    assert code_of(await payer.pay(payer.order(), key=key, confirmation=token)) == REFUSED


async def test_small_payments_count_together(payer: Payer) -> None:
    assert (await payer.pay(payer.order("30.00"), key="a")).status_code == 201
    refused = await payer.pay(payer.order("20.01"), key="b")
    assert (code_of(refused), refused.json()["details"]["left"]) == (REQUIRED, "20.00")
    # However many come at once, and however small they are.
    answers = await asyncio.gather(*(payer.pay(payer.order("3.00"), key=f"k{n}") for n in range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] * 6 + [403] * 6
    assert await payer.balance() == "952.00"
    # A withdrawal counts with the transfers.
    order = {"from_account": payer.sender, "amount": "2.01", "currency": "EUR"}
    order |= {"beneficiary": {"name": "Zoe Lang", "iban": IBAN}}
    assert code_of(await payer.pay(order, key="w", path="/transactions/withdraw")) == REQUIRED
    token = await payer.confirmation(named(order, "w"))
    paid = await payer.pay(order, key="w", confirmation=token, path="/transactions/withdraw")
    assert paid.status_code == 201, paid.text
    # What is confirmed counts for nothing: 2.00 are left.
    assert (await payer.pay(payer.order("2.00"), key="c")).status_code == 201
    assert code_of(await payer.pay(payer.order("0.01"), key="d")) == REQUIRED


async def test_payments_between_own_accounts_need_none(payer: Payer, key: str) -> None:
    own = await payer.person.open_account(type_="savings")
    assert (await payer.pay(payer.order("500.00", to_account=own), key=key)).status_code == 201
    assert code_of(await payer.pay(payer.order("50.01"), key="other")) == REQUIRED


async def test_other_refusals_come_first_and_use_no_confirmation(payer: Payer, key: str) -> None:
    refused = await payer.pay(payer.order("1000.01"), key=key)
    assert code_of(refused) == (422, "insufficient_funds")
    assert await payer.balance() == "1000.00"


async def test_a_code_counts_once_and_a_wrong_one_gives_nothing(payer: Payer, key: str) -> None:
    payment, code = named(payer.order(), key), payer.code()
    assert code_of(await payer.confirm(payment, code="000000")) == (401, "invalid_totp")
    without = await payer.person.post("/auth/payment-confirmations", {"payments": [payment]})
    assert code_of(without) == (401, "totp_required")
    assert (await payer.confirm(payment, code=code)).status_code == 201
    assert code_of(await payer.confirm(payment, code=code)) == (401, "invalid_totp")


async def test_guesses_at_codes_are_held_back(careful: Bank, payer: Payer, key: str) -> None:
    payment = named(payer.order(), key)
    answers = [await payer.confirm(payment, code="000000") for _ in range(12)]
    assert {code_of(answer) for answer in answers} == {(401, "invalid_totp"), (429, "rate_limited")}
    assert code_of(await payer.confirm(payment)) == (429, "rate_limited")


async def test_without_a_second_factor_the_remedy_is_to_enrol_one(careful: Bank, key: str) -> None:
    alice, _, _, sender, receiver = await people(careful)
    order = {"from_account": sender, "to_account": receiver, "amount": "60.00", "currency": "EUR"}
    assert code_of(await alice.post("/transactions/transfer", order, key=key)) == REQUIRED
    body = {"payments": [{**order, "idempotency_key": key}], "totp": "000000"}
    answer = await alice.post("/auth/payment-confirmations", body)
    assert code_of(answer) == (409, "totp_not_active")


async def test_an_api_key_confirms_nothing(payer: Payer, key: str) -> None:
    wanted = {"password": PASSWORD, "totp": payer.code(), "name": "till", "scopes": ["use_own_accounts"]}
    made = await payer.person.post("/auth/tokens", wanted)
    assert made.status_code == 201, made.text
    bearer = {"Cookie": "", "Authorization": f"Bearer {made.json()['token']}"}
    order = payer.order()
    refused = await payer.person.call("POST", "/transactions/transfer", order, key=key, **bearer)
    assert code_of(refused) == REQUIRED
    body = {"payments": [named(order, key)], "totp": payer.code()}
    answer = await payer.person.call("POST", "/auth/payment-confirmations", body, **bearer)
    assert code_of(answer) == (403, "scope_missing")
    small = await payer.person.call("POST", "/transactions/transfer", payer.order("50.00"), key="s", **bearer)
    assert small.status_code == 201, small.text


async def test_a_key_made_with_the_second_factor_pays_unconfirmed_within_its_budget(payer: Payer) -> None:
    wanted = {"password": PASSWORD, "name": "payroll", "scopes": ["use_own_accounts", "pay_unconfirmed"]}
    budget = {"currency": "EUR", "max_day": "200.00"}

    async def make(person: Person, **more: Any) -> httpx.Response:
        return await person.post("/auth/tokens", {**wanted, **more})

    assert (await make(payer.person, totp=payer.code())).json()["errors"][0]["field"] == "budget"
    made = await make(payer.person, totp=payer.code(), budget=budget)
    assert made.status_code == 201, made.text
    bearer = {"Cookie": "", "Authorization": f"Bearer {made.json()['token']}"}

    async def pay(amount: str) -> httpx.Response:
        order = payer.order(amount)
        return await payer.person.call("POST", "/transactions/transfer", order, key=str(uuid4()), **bearer)

    assert (await pay("150.00")).status_code == 201
    assert code_of(await pay("50.01")) == (422, "budget_day")
    rows = batch_of(payer, "20.00", "30.00")
    answer = await payer.person.call("POST", "/transactions/batch", {"transfers": rows}, **bearer)
    assert [row["outcome"] for row in answer.json()["results"]] == ["completed"] * 2
    # It has used nothing of what its owner pays without a code.
    assert (await payer.pay(payer.order("50.00"), key="own")).status_code == 201


async def test_nobody_makes_such_a_key_without_a_second_factor(careful: Bank) -> None:
    alice = await careful.person()
    wanted = {"password": PASSWORD, "name": "payroll", "scopes": ["use_own_accounts", "pay_unconfirmed"]}
    budget = {"currency": "EUR", "max_day": "200.00"}
    made = await alice.post("/auth/tokens", {**wanted, "budget": budget})
    assert code_of(made) == (409, "totp_not_active")


def batch_of(payer: Payer, *amounts: str) -> list[dict[str, Any]]:
    return [{**payer.order(amount), "idempotency_key": str(uuid4())} for amount in amounts]


async def send(
    payer: Payer, rows: list[dict[str, Any]], *, confirmation: str | None = None, atomic: bool = False
) -> list[tuple[str, str | None]]:
    headers = {} if confirmation is None else {"Payment-Confirmation": confirmation}
    body = {"transfers": rows, "atomic": atomic}
    answer = await payer.person.call("POST", "/transactions/batch", body, **headers)
    assert answer.status_code == 200, answer.text
    return [(row["outcome"], (row["problem"] or {}).get("code")) for row in answer.json()["results"]]


def summed(rows: list[dict[str, Any]], total: str) -> dict[str, Any]:
    return {"digest": batch_digest(rows), "rows": len(rows), "totals": {"EUR": total}}


async def test_a_batch_is_confirmed_as_a_whole(payer: Payer) -> None:
    rows = batch_of(payer, "20.00", "40.00", "25.00")
    paid, required = ("completed", None), ("refused", REQUIRED[1])
    assert await send(payer, rows) == [paid, required, paid]
    rest = rows[1:2]
    token = await payer.confirmation(summed(rest, "40.00"))
    assert await send(payer, rest, confirmation=token) == [paid]
    assert await payer.balance() == "915.00"


async def test_an_atomic_batch_is_confirmed_as_a_whole(payer: Payer) -> None:
    rows = batch_of(payer, "20.00", "40.00")
    assert await send(payer, rows, atomic=True) == [
        ("refused", "atomic_batch_refused"),
        ("refused", REQUIRED[1]),
    ]
    assert await payer.balance() == "1000.00"
    token = await payer.confirmation(summed(rows, "60.00"))
    assert await send(payer, rows, confirmation=token, atomic=True) == [("completed", None)] * 2
    assert await payer.balance() == "940.00"


async def test_a_confirmation_of_a_batch_is_good_for_its_rows_and_sums_alone(payer: Payer) -> None:
    rows, others = batch_of(payer, "60.00", "70.00"), batch_of(payer, "60.00", "70.00")
    token = await payer.confirmation(summed(rows, "130.00"))
    refused = ("refused", REFUSED[1])
    for changed in (
        others,
        rows[:1],
        rows[::-1],
        [rows[0], {**rows[1], "amount": "71.00"}],
        [rows[0], {**rows[1], "reference": "x"}],
    ):
        assert set(await send(payer, changed, confirmation=token)) == {refused}
    # What the person was told is what is paid: the sums belong to it.
    understated = await payer.confirmation(summed(others, "1.30"))
    assert set(await send(payer, others, confirmation=understated)) == {refused}
    assert await payer.balance() == "1000.00"
    assert await send(payer, rows, confirmation=token) == [("completed", None)] * 2


async def test_what_was_confirmed_is_in_the_audit_and_with_the_record(careful: Bank, payer: Payer) -> None:
    key, order = str(uuid4()), payer.order()
    token = await payer.confirmation(named(order, key))
    paid = (await payer.pay(order, key=key, confirmation=token)).json()
    [entry] = (
        await careful.users["audit"]
        .find({"action": "confirm_payment", "target.id": payer.person.user_id})
        .to_list()
    )
    after = entry["after"]
    assert after["payments"] == [
        {"from": payer.sender, "to": payer.receiver, "amount": "60.00", "currency": "EUR"}
    ]
    record = await careful.ledger["journal"].find_one({"_id": UUID(paid["id"])})
    assert record is not None
    assert record["data"]["confirmation"] == after["confirmation"]


async def test_the_books_hold_with_counted_and_confirmed_payments(careful: Bank, payer: Payer) -> None:
    operator = await careful.person("Olga", "operator")
    await payer.pay(payer.order("10.00"), key="x")
    proof = (await operator.get("/ledger/proof")).json()
    assert proof["holds"], proof["mismatches"]


async def test_by_default_no_payment_is_confirmed(bank: Bank, key: str) -> None:
    alice, _, _, sender, receiver = await people(bank, "1000.00")
    order = {"from_account": sender, "to_account": receiver, "amount": "900.00", "currency": "EUR"}
    answer = await alice.call(
        "POST", "/transactions/transfer", order, key=key, **{"Payment-Confirmation": "not looked at"}
    )
    assert answer.status_code == 201, answer.text
