"""Hypothesis plays the bank against its model: money both ways, freezes, closings, requests sent again.

Two banking_api serve it, and each believes what it knows of the accounts: a request goes to the one or other.
"""

import asyncio
import os
import time
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.faults.bank_model import Asked, BankModel, ModelAccount
from tests.faults.planting import chosen_bug, plant_chosen_bug
from tests.faults.told import BENEFICIARY
from tests.support.bank import CLOSED_PORT, Person, running_bank
from tests.support.callers import sign_in_again

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "200"))
STEPS = int(os.environ.get("MACHINE_STEPS", "50"))
ACCOUNTS = 4
SIGN_IN_AGAIN_SECONDS = 240
"""Many runs take longer than a session token is good for."""
ResultT = TypeVar("ResultT")
PEOPLE = ("alice", "bob")
people = st.sampled_from(PEOPLE)
numbers = st.integers(min_value=0, max_value=ACCOUNTS - 1)
# Few amounts and few keys, so that they meet: balances that just suffice, keys that come again.
amounts = st.sampled_from([1, 50, 99, 100, 101, 5000])
keys = st.sampled_from(["k1", "k2", "k3", "k4"]) | st.uuids().map(str)
# Which banking_api is asked.
places = st.integers(min_value=0, max_value=1)
currencies = st.sampled_from(["EUR", "EUR", "EUR", "EUR", "CZK"])


class Stage:
    """The running bank, on an event loop that synchronous rules may use."""

    def __init__(self, runner: asyncio.Runner, addresses: list[str]) -> None:
        self._runner = runner
        self._addresses = addresses
        self._signed_in = time.monotonic()
        self.people: dict[str, Person] = {}
        self.operator: Person

    def at(self, place: int, person: Person) -> Person:
        """The person, in front of one of the two."""
        return replace(person, banking_api=self._addresses[place])

    def keep_signed_in(self) -> None:
        """Give everybody a new session before the old one ends."""
        if time.monotonic() > self._signed_in + SIGN_IN_AGAIN_SECONDS:
            self._signed_in = time.monotonic()
            for person in (*self.people.values(), self.operator):
                self.do(sign_in_again(person))

    def do(self, coroutine: Coroutine[Any, Any, ResultT]) -> ResultT:
        return self._runner.run(coroutine)


stage: Stage


@pytest.fixture(scope="module", autouse=True)
def opened_stage(mongo_uri: str) -> Iterator[None]:
    global stage  # noqa: PLW0603 - Hypothesis makes the machines itself, without arguments
    plant_chosen_bug()
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        bank = runner.run(stack.enter_async_context(running_bank(mongo_uri, kafka_broker=CLOSED_PORT)))
        other = running_bank(mongo_uri, kafka_broker=CLOSED_PORT, suffix=bank.suffix)
        addresses = [bank.banking_api, runner.run(stack.enter_async_context(other)).banking_api]
        stage = Stage(runner, addresses)
        for name in PEOPLE:
            stage.people[name] = runner.run(bank.person(name.title()))
        stage.operator = runner.run(bank.person("Olga", "operator"))
        yield
        runner.run(stack.aclose())


class BankMachine(RuleBasedStateMachine):
    """New accounts each time; people are the same, so keys are made this run's own by a prefix."""

    def __init__(self) -> None:
        super().__init__()
        stage.keep_signed_in()
        self.model = BankModel()
        self.numbers: list[str] = []
        self.touched: set[str] = set()
        self.reversible: dict[str, Asked] = {}
        self.run = uuid4().hex[:12]

    @initialize()
    def open_accounts(self) -> None:
        for index in range(ACCOUNTS):
            owner = PEOPLE[index % 2]
            currency = "CZK" if index == ACCOUNTS - 1 else "EUR"
            number = stage.do(stage.people[owner].open_account(currency))
            self.numbers.append(number)
            self.model.accounts[number] = ModelAccount(owner, currency)

    @rule(
        at=places,
        by=people,
        sender=numbers,
        receiver=numbers,
        minor=amounts,
        key=keys,
        currency=currencies,
    )
    def transfer(
        self, at: int, by: str, sender: int, receiver: int, minor: int, key: str, currency: str
    ) -> None:
        if sender != receiver:
            self._ask(at, key, Asked(by, self.numbers[sender], self.numbers[receiver], minor, currency))

    @rule(at=places, receiver=numbers, minor=amounts, key=keys, currency=currencies)
    def fund(self, at: int, receiver: int, minor: int, key: str, currency: str) -> None:
        self._ask(at, key, Asked("operator", None, self.numbers[receiver], minor, currency))

    @rule(at=places, by=people, sender=numbers, minor=amounts, key=keys, currency=currencies)
    def withdraw(self, at: int, by: str, sender: int, minor: int, key: str, currency: str) -> None:
        self._ask(at, key, Asked(by, self.numbers[sender], None, minor, currency))

    @precondition(lambda self: self.reversible)
    @rule(at=places, minor=amounts, key=keys, data=st.data())
    def reverse(self, at: int, minor: int, key: str, data: st.DataObject) -> None:
        original = data.draw(st.sampled_from(sorted(self.reversible)))
        done = self.reversible[original]
        self._ask(at, key, Asked("operator", done.receiver, done.sender, minor, done.currency, original))

    @precondition(lambda self: self.model.told)
    @rule(at=places, data=st.data())
    def ask_again(self, at: int, data: st.DataObject) -> None:
        by, key = data.draw(st.sampled_from(sorted(self.model.told)))
        self._ask(at, key, self.model.told[by, key][0])

    @rule(at=places, number=numbers)
    def freeze(self, at: int, number: int) -> None:
        account = self.numbers[number]
        self.touched.add(account)
        operator = stage.at(at, stage.operator)
        answer = stage.do(operator.patch(f"/accounts/{account}/freeze", {"reason": "a test"}))
        assert _told(answer) == self.model.freeze(account)

    @rule(at=places, number=numbers)
    def unfreeze(self, at: int, number: int) -> None:
        account = self.numbers[number]
        self.touched.add(account)
        operator = stage.at(at, stage.operator)
        answer = stage.do(operator.patch(f"/accounts/{account}/unfreeze", {"reason": "a test"}))
        assert _told(answer) == self.model.unfreeze(account)

    @rule(at=places, by=people, number=numbers)
    def close(self, at: int, by: str, number: int) -> None:
        account = self.numbers[number]
        self.touched.add(account)
        answer = stage.do(stage.at(at, stage.people[by]).patch(f"/accounts/{account}/close", {}))
        assert _told(answer) == self.model.close(account, by)

    @invariant()
    def touched_accounts_are_the_models(self) -> None:
        """Where the model moves nothing, the account is looked at in the end: fewer looks in every step."""
        for number in sorted(self.touched):
            self._assert_is_the_models(_read(self.model.accounts[number].owner, f"/accounts/{number}"))
        self.touched.clear()

    def _assert_is_the_models(self, shown: dict[str, Any]) -> None:
        expected = self.model.accounts[shown["id"]]
        assert (_minor(shown["balance"]), shown["status"]) == (expected.balance_minor, expected.status)

    def teardown(self) -> None:
        if not self.numbers:
            return
        for owner in PEOPLE:
            for shown in _read(owner, f"/accounts?limit={ACCOUNTS}")["items"]:
                if shown["id"] in self.model.accounts:
                    self._assert_is_the_models(shown)
            for number in self.numbers:
                if self.model.accounts[number].owner == owner:
                    lines = _read(owner, f"/accounts/{number}/transactions?limit=200")["items"]
                    booked = [line for line in lines if line["status"] == "completed"]
                    total = sum(_minor(line) for line in booked)
                    assert total == self.model.accounts[number].balance_minor

    def _ask(self, at: int, key: str, asked: Asked) -> None:
        key_sent = f"{self.run}-{key}"
        person, path, body = _request(asked)
        answer = stage.do(stage.at(at, person).post(path, body, key=key_sent))
        code, replayed = self.model.ask(key, asked)
        assert _told(answer) == code, answer.text
        if code == "completed":
            assert (answer.headers.get("Idempotent-Replayed") == "true") is replayed
            self.touched |= {side for side in (asked.sender, asked.receiver) if side is not None}
            if asked.sender is not None and asked.reverses is None:
                done = str(answer.json()["id"])
                self.reversible[done] = asked
                self.model.left.setdefault(done, asked.minor)


def _request(asked: Asked) -> tuple[Person, str, dict[str, Any]]:
    """Return who asks, where, and the body."""
    body: dict[str, Any] = {"amount": _decimal(asked.minor), "currency": asked.currency}
    if asked.reverses is not None:
        return stage.operator, f"/transactions/{asked.reverses}/reverse", {**body, "reason": "a test"}
    if asked.sender is None:
        return stage.operator, f"/accounts/{asked.receiver}/fund", body
    body["from_account"] = asked.sender
    if asked.receiver is None:
        return stage.people[asked.by], "/transactions/withdraw", {**body, "beneficiary": BENEFICIARY}
    return stage.people[asked.by], "/transactions/transfer", {**body, "to_account": asked.receiver}


def _read(owner: str, path: str) -> dict[str, Any]:
    answer = stage.do(stage.people[owner].get(path))
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def _told(answer: httpx.Response) -> str:
    if answer.status_code == 201:
        return "completed"
    return "done" if answer.status_code == 200 else str(answer.json()["code"])


def _decimal(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02d}"


def _minor(money: dict[str, Any]) -> int:
    return int(str(money["amount"]).replace(".", ""))


@pytest.mark.timeout(600 + EXAMPLES * STEPS // 5)
def test_the_bank_is_as_the_model_says() -> None:
    run_state_machine_as_test(
        BankMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if chosen_bug() == "" else [Phase.generate],
        ),
    )
    books = stage.do(_proof())
    assert books["holds"], books


async def _proof() -> dict[str, Any]:
    return dict((await stage.operator.get("/ledger/proof")).json())
