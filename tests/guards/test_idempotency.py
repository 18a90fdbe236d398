"""A key means the same on every route that takes one: each is tried on the real daemons."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any
from uuid import uuid4

import httpx
import pytest

from daemons.shared.http.routes import IdempotencyKey, Route
from tests.support.bank import Person
from tests.support.callers import routes
from tests.support.policies import asking_for
from tests.support.whole_bank import WholeBank, running_whole_bank

REPLAYED = "Idempotent-Replayed"
FOUR_EYES = {"staff_policy": asking_for("fund", alone={"EUR": 1000, "JPY": 1000})}
KEYED = {
    (daemon, route.method, route.path): route
    for daemon, route in routes()
    if route.idempotency_key is not IdempotencyKey.UNUSED
}
TRANSFER = ("banking_api", "POST", "/transactions/transfer")
FUND = ("banking_api", "POST", "/accounts/{id}/fund")
WITHDRAW = ("banking_api", "POST", "/transactions/withdraw")
PAY_OUT = ("banking_api", "POST", "/accounts/{id}/withdraw")
REVERSE = ("banking_api", "POST", "/transactions/{id}/reverse")
ADJUST = ("banking_api", "POST", "/accounts/{id}/adjust")
OPEN = ("banking_api", "POST", "/accounts")


@dataclass(frozen=True)
class Try:
    """A request, the status it gets, and another one that must not pass for it."""

    route: tuple[str, str, str]
    body: dict[str, Any]
    status: int
    other: dict[str, Any]


def money(amount: str, **more: Any) -> dict[str, Any]:
    return {"amount": amount, "currency": "EUR", **more}


def transfer(amount: str) -> dict[str, Any]:
    # The accounts are filled in when they are open.
    return money(amount, from_account="sender", to_account="receiver")


ELSEWHERE = {"name": "Zoe Lang", "iban": "DE89370400440532013000"}
TRIES = {
    "a transfer": Try(TRANSFER, transfer("1.00"), 201, transfer("1.01")),
    "a transfer that fails": Try(TRANSFER, transfer("1000000.00"), 422, transfer("1.00")),
    "funding": Try(FUND, money("1.00"), 201, money("1.00", reference="other")),
    "funding that fails": Try(FUND, {**money("1"), "currency": "JPY"}, 422, money("1")),
    "funding that waits": Try(FUND, money("2000.00"), 202, money("2000.01")),
    "a withdrawal": Try(
        WITHDRAW,
        money("1.00", from_account="sender", beneficiary=ELSEWHERE),
        201,
        money("1.00", from_account="sender", beneficiary={**ELSEWHERE, "name": "Zoe Long"}),
    ),
    "paying out": Try(PAY_OUT, money("1.00"), 201, money("1.00", reference="other")),
    "a reversal": Try(
        REVERSE, {"amount": "0.10", "reason": "r"}, 201, {"amount": "0.10", "reason": "another"}
    ),
    "an adjustment": Try(
        ADJUST,
        money("1.00", direction="credit", reason="r"),
        202,
        money("1.00", direction="debit", reason="r"),
    ),
    "an account": Try(
        OPEN, {"type": "savings", "currency": "EUR"}, 201, {"type": "savings", "currency": "EUR", "name": "n"}
    ),
}


@dataclass
class Stage:
    """People and accounts on the real daemons."""

    whole: WholeBank
    alice: Person
    operator: Person
    accounts: dict[str, str]

    async def send(self, route: tuple[str, str, str], body: dict[str, Any], *keys: str) -> httpx.Response:
        daemon, method, path = route
        person = self.alice if route in {TRANSFER, WITHDRAW, OPEN} else self.operator
        filled = {name: self.accounts.get(str(value), value) for name, value in body.items()}
        headers = [*person.headers.items(), ("X-Requested-With", "tests")]
        headers += [("Idempotency-Key", key) for key in keys]
        url = self.whole.origins[daemon] + path.replace(
            "{id}", self.accounts["paid" if route == REVERSE else "sender"]
        )
        return await self.whole.bank.http.request(method, url, json=filled, headers=headers)


@pytest.fixture(scope="module")
async def stage(mongo_uri: str) -> AsyncIterator[Stage]:
    async with running_whole_bank(mongo_uri, banking=FOUR_EYES) as whole:
        alice, operator = await whole.bank.person(), await whole.bank.person("Olga", "operator")
        sender, receiver = await alice.open_account(), await alice.open_account()
        assert (await operator.fund(sender, "100.00")).status_code == 201
        paid = (await alice.transfer(sender, receiver, "50.00")).json()["id"]
        yield Stage(whole, alice, operator, {"sender": sender, "receiver": receiver, "paid": paid})


def without_request_id(answer: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    found.pop("request_id", None)
    return found


def test_every_route_that_takes_a_key_is_tried() -> None:
    assert {one.route for one in TRIES.values()} == set(KEYED)


@pytest.mark.parametrize("name", list(TRIES))
async def test_a_key_sent_again_gets_the_same_answer_that_says_so(stage: Stage, name: str) -> None:
    one, key = TRIES[name], str(uuid4())
    first = await stage.send(one.route, one.body, key)
    assert (first.status_code, REPLAYED in first.headers) == (one.status, False), first.text
    again = await stage.send(one.route, one.body, key)
    assert (again.status_code, again.headers.get(REPLAYED)) == (one.status, "true"), again.text
    assert without_request_id(again) == without_request_id(first)
    assert again.headers.get("Location") == first.headers.get("Location")


@pytest.mark.parametrize("name", list(TRIES))
async def test_another_body_under_a_known_key_is_refused(stage: Stage, name: str) -> None:
    one, key = TRIES[name], str(uuid4())
    await stage.send(one.route, one.body, key)
    other = await stage.send(one.route, one.other, key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert REPLAYED not in other.headers


# Keys are scoped to the person, and it is the operator's that these need.
BOOKED = ("funding", "funding that waits", "paying out", "a reversal", "an adjustment")


@pytest.mark.parametrize(("first", "second"), list(permutations(BOOKED, 2)))
async def test_a_key_stands_for_one_booking_whatever_the_route(stage: Stage, first: str, second: str) -> None:
    one, another, key = TRIES[first], TRIES[second], str(uuid4())
    await stage.send(one.route, one.body, key)
    other = await stage.send(another.route, another.body, key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("route", list(KEYED.values()), ids=lambda route: f"{route.method} {route.path}")
async def test_two_keys_or_a_malformed_one_are_refused(stage: Stage, route: Route) -> None:
    one = next(one for one in TRIES.values() if KEYED[one.route] is route)
    for keys in (("a", "b"), ("a", "a"), ("a b",), ("",), ("k" * 129,)):
        answer = await stage.send(one.route, one.body, *keys)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key"), keys
    if route.idempotency_key is IdempotencyKey.REQUIRED:
        answer = await stage.send(one.route, one.body)
        assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")


async def test_an_approved_adjustment_says_that_it_was_booked_before(stage: Stage) -> None:
    one, key = TRIES["an adjustment"], str(uuid4())
    asked = await stage.send(one.route, one.body, key)
    second = await stage.whole.bank.person("Oscar", "operator")
    approved = await second.post(f"/approvals/ledger/{asked.json()['id']}/approve", None)
    assert approved.status_code == 200, approved.text
    booked = await stage.send(one.route, one.body, key)
    assert (booked.status_code, booked.headers.get(REPLAYED)) == (201, "true")
