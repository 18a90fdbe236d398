"""Accounts over the real routes, on the real database."""

import asyncio
from collections import defaultdict
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from pymongo.errors import AutoReconnect

from daemons.banking_api.kinds.table import KINDS
from daemons.banking_api.ledger.account import Account
from daemons.banking_api.ledger.documents import record_from
from daemons.banking_api.ledger.readers import AccountReader
from tests.support.bank import CLOSED_PORT, Bank, Person, people, running_bank
from tests.support.waiting import eventually

UNKNOWN = "1000000009"


async def test_an_account_is_opened_listed_and_shown(bank: Bank) -> None:
    alice = await bank.person()
    answer = await alice.post("/accounts", {"type": "savings", "currency": "CZK", "name": "Holidays"})
    account = answer.json()
    assert answer.status_code == 201
    assert account["balance"] == {"amount": "0.00", "currency": "CZK"}
    assert (account["type"], account["status"], account["name"]) == ("savings", "active", "Holidays")
    assert account["owner_id"] == alice.user_id
    assert (await alice.get(f"/accounts/{account['id']}")).json() == account
    assert [item["id"] for item in (await alice.get("/accounts")).json()["items"]] == [account["id"]]


async def test_opening_again_under_the_same_key_opens_nothing(bank: Bank, key: str) -> None:
    alice = await bank.person()
    body = {"type": "checking", "currency": "EUR"}
    first = await alice.post("/accounts", body, key=key)
    again = await alice.post("/accounts", body, key=key)
    assert first.json() == again.json()
    assert len((await alice.get("/accounts")).json()["items"]) == 1


async def test_others_accounts_look_like_none(bank: Bank) -> None:
    alice, mallory = await bank.person(), await bank.person("Mallory")
    account = await alice.open_account()
    for path in (f"/accounts/{account}", f"/accounts/{account}/balance", f"/accounts/{account}/transactions"):
        answer = await mallory.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
    for act, body in (("type", {"type": "savings"}), ("close", {})):
        answer = await mallory.patch(f"/accounts/{account}/{act}", body)
        assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
    assert (await mallory.get("/accounts")).json()["items"] == []


async def test_users_reach_neither_all_accounts_nor_anothers_list(bank: Bank) -> None:
    alice, mallory = await bank.person(), await bank.person("Mallory")
    for query in ("scope=all", f"owner_id={alice.user_id}"):
        assert (await mallory.get(f"/accounts?{query}")).status_code == 403


async def test_support_reads_all_and_changes_nothing(bank: Bank) -> None:
    alice, support = await bank.person(), await bank.person("Sue", "support")
    account = await alice.open_account()
    listed = await support.get(f"/accounts?owner_id={alice.user_id}")
    assert [item["id"] for item in listed.json()["items"]] == [account]
    assert (await support.get(f"/accounts/{account}")).status_code == 200
    assert (await support.patch(f"/accounts/{account}/freeze", {"reason": "x"})).status_code == 403
    assert (await support.fund(account, "1")).status_code == 403
    assert (await support.patch(f"/accounts/{account}/close", {})).status_code == 404


async def test_freezing_and_unfreezing(bank: Bank) -> None:
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    account = await alice.open_account()
    frozen = await operator.patch(f"/accounts/{account}/freeze", {"reason": "court order 7"})
    assert (frozen.json()["status"], frozen.json()["status_reason"]) == ("frozen", "court order 7")
    again = await operator.patch(f"/accounts/{account}/freeze", {"reason": "court order 8"})
    assert (again.status_code, again.json()["code"]) == (409, "account_already_frozen")
    assert (await alice.get(f"/accounts/{account}")).json()["status_reason"] == "court order 7"
    thawed = await operator.patch(f"/accounts/{account}/unfreeze", {"reason": "lifted"})
    assert thawed.json()["status"] == "active"


async def test_a_change_takes_a_number_among_the_accounts_entries(bank: Bank) -> None:
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    account, other = await alice.open_account(), await alice.open_account()

    async def shown() -> tuple[str, int]:
        body = (await alice.get(f"/accounts/{account}/balance")).json()
        return body["balance"]["amount"], body["sequence"]

    assert await shown() == ("0.00", 0)
    await operator.fund(account, "5.00")
    assert await shown() == ("5.00", 1)
    await operator.patch(f"/accounts/{account}/freeze", {"reason": "a test"})
    assert await shown() == ("5.00", 2)
    # Refusals take none.
    assert (await alice.transfer(account, other, "1.00")).status_code == 422
    assert await shown() == ("5.00", 2)
    await operator.patch(f"/accounts/{account}/unfreeze", {"reason": "a test"})
    await alice.transfer(account, other, "1.00")
    assert await shown() == ("4.00", 4)
    lines = (await alice.get(f"/accounts/{account}/transactions")).json()["items"]
    assert [line["sequence"] for line in lines] == [4, None, 1]


@pytest.mark.parametrize("through", ["the same process", "another process"])
async def test_an_account_is_frozen_while_payments_come_without_a_pause(
    bank: Bank, mongo_uri: str, through: str
) -> None:
    """Freeze and payments want the same next number; who freezes must not have to ask again."""
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    account, other = await alice.open_account(), await alice.open_account()
    await operator.fund(account, "1000.00")
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT, suffix=bank.suffix) as second:
        if through == "another process":
            operator = replace(operator, banking_api=second.banking_api)
        for _ in range(3):
            answers: list[str] = []
            stopping = asyncio.Event()
            paying = [
                asyncio.create_task(_pay_to_and_fro(alice, account, other, answers, stopping))
                for _ in range(24)
            ]

            async def under_way(answers: list[str] = answers) -> bool:
                return len(answers) > 50

            try:
                await eventually(under_way)
                frozen = await operator.patch(f"/accounts/{account}/freeze", {"reason": "court order 9"})
                assert (frozen.status_code, frozen.json()["status"]) == (200, "frozen")
                before = await alice.balance(account)
            finally:
                # Also when it fails: those who went on paying would spoil every test that follows.
                stopping.set()
                await asyncio.gather(*paying)
            assert set(answers) == {"paid", "account_frozen"}
            assert await alice.balance(account) == before
            thawed = await operator.patch(f"/accounts/{account}/unfreeze", {"reason": "lifted"})
            assert thawed.json()["status"] == "active"


async def _pay_to_and_fro(
    payer: Person, account: str, other: str, answers: list[str], stopping: asyncio.Event
) -> None:
    pair = (account, other)
    while not stopping.is_set():
        answer = await payer.transfer(*pair, "1.00")
        answers.append(str(answer.json().get("code", "paid")))
        if answers[-1] == "paid":
            pair = (pair[1], pair[0])


@pytest.mark.parametrize("role", ["user", "support"])
async def test_freezing_needs_an_operator(bank: Bank, role: str) -> None:
    person = await bank.person("Pat", role)
    account = await person.open_account()
    for act in ("freeze", "unfreeze"):
        answer = await person.patch(f"/accounts/{account}/{act}", {"reason": "why not"})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await person.get(f"/accounts/{account}")).json()["status"] == "active"


async def test_the_type_can_be_changed_by_the_owner(bank: Bank) -> None:
    alice = await bank.person()
    account = await alice.open_account()
    assert (await alice.patch(f"/accounts/{account}/type", {"type": "savings"})).json()["type"] == "savings"


async def test_an_account_that_holds_money_is_not_closed(bank: Bank) -> None:
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    account, other = await alice.open_account(), await alice.open_account()
    await operator.fund(account, "5.00")
    for person in (alice, operator):
        refused = await person.patch(f"/accounts/{account}/close", {"reason": "moving"})
        assert (refused.status_code, refused.json()["code"]) == (409, "account_not_empty")
    await alice.transfer(account, other, "5.00")
    closed = await alice.patch(f"/accounts/{account}/close", {"reason": "moving"})
    assert (closed.status_code, closed.json()["status"]) == (200, "closed")
    assert (await operator.fund(account, "1")).json()["code"] == "account_closed"
    assert (await alice.transfer(other, account, "1")).json()["code"] == "account_closed"


async def test_lists_go_page_by_page(bank: Bank) -> None:
    alice = await bank.person()
    opened = [await alice.open_account() for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await alice.get(f"/accounts?limit=2{cursor}")).json()
        assert len(page["items"]) <= 2
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == opened[::-1]


async def test_every_change_of_an_account_is_told_once(bank: Bank) -> None:
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    account = await alice.open_account()
    await operator.patch(f"/accounts/{account}/freeze", {"reason": "fraud check"})
    await operator.patch(f"/accounts/{account}/freeze", {"reason": "again"})
    await operator.patch(f"/accounts/{account}/unfreeze", {"reason": "cleared"})
    await alice.patch(f"/accounts/{account}/type", {"type": "savings"})
    await alice.patch(f"/accounts/{account}/close", {})
    found = bank.ledger["journal"].find({"data.account": account}).sort("_id")
    users = defaultdict[UUID, dict[str, Any]](dict)
    told = [KINDS[document["kind"]].event(record_from(document), users).data async for document in found]
    changes = ["opened", "frozen", "unfrozen", "type_changed", "closed"]
    # By its number a consumer finds each among the account's payments, whatever came first.
    assert [(data["change"], data["sequence"]) for data in told] == list(zip(changes, range(5), strict=True))


async def test_a_change_that_was_done_is_told_although_nothing_can_be_read_afterwards(
    mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was answered 'nothing was changed' when the account could not be read again."""
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as bank:
        alice, _, operator, sender, _ = await people(bank)
        before = (await alice.get(f"/accounts/{sender}")).json()

        async def unreadable(*_: object) -> list[Account]:
            raise AutoReconnect("by the test")

        with monkeypatch.context() as patch:
            patch.setattr(AccountReader, "_read", unreadable)
            frozen = await operator.patch(f"/accounts/{sender}/freeze", {"reason": "fraud check"})
            opened = await alice.post("/accounts", {"type": "savings", "currency": "EUR", "name": "rent"})
        assert frozen.status_code == 200, frozen.text
        assert frozen.json() == {**before, "status": "frozen", "status_reason": "fraud check"}
        assert frozen.json() == (await alice.get(f"/accounts/{sender}")).json()
        assert opened.status_code == 201, opened.text
        assert opened.json() == (await alice.get(f"/accounts/{opened.json()['id']}")).json()
