"""The collection of accounts is a cache of the journal: it can be thrown away, and is made again."""

import asyncio
from typing import Any

import pytest

from daemons.banking_api.books.models import RebuiltLine
from tests.support.bank import Bank, Person

Documents = dict[str, dict[str, Any]]


async def accounts_of(bank: Bank) -> Documents:
    return {document["_id"]: document async for document in bank.ledger["accounts"].find()}


def without_balances(documents: Documents) -> Documents:
    return {
        id_: {name: value for name, value in document.items() if name not in {"balance", "sequence"}}
        for id_, document in documents.items()
    }


async def rebuild(operator: Person) -> dict[str, Any]:
    answer = await operator.post("/ledger/accounts/rebuild", {"reason": "a test"})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def an_account_with_a_past(person: Person, operator: Person) -> str:
    account = await person.open_account()
    await operator.fund(account, "10.00")
    for path, body in (
        ("name", {"name": "rainy days"}),
        ("type", {"type": "savings"}),
    ):
        assert (await person.patch(f"/accounts/{account}/{path}", body)).status_code == 200
    frozen = await operator.patch(f"/accounts/{account}/freeze", {"reason": "card stolen"})
    assert frozen.status_code == 200
    return account


async def test_accounts_that_are_thrown_away_are_made_again(bank: Bank) -> None:
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    frozen = await an_account_with_a_past(alice, operator)
    other = await alice.open_account()
    await operator.fund(other, "3.00")
    before = await accounts_of(bank)
    shown = [(await alice.get(f"/accounts/{id_}")).json() for id_ in (frozen, other)]

    await bank.ledger["accounts"].delete_many({})
    rebuilt = await rebuild(operator)

    after = await accounts_of(bank)
    assert without_balances(after) == without_balances(before)
    assert rebuilt == {"accounts": len(before), "changed": len(before), "removed": 0}
    # Balances are written down exactly, which they need not be otherwise.
    assert (after[frozen]["balance"], after[other]["balance"]) == (1000, 300)
    assert [(await alice.get(f"/accounts/{id_}")).json() for id_ in (frozen, other)] == shown
    assert (await operator.get("/ledger/proof")).json()["holds"]
    assert (await rebuild(operator))["changed"] == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"status": "active"}, "status"),
        ({"type": "checking"}, "type"),
        ({"name": "mine"}, "name"),
        ({"status_reason": None}, "status_reason"),
        ({"currency": "USD"}, "currency"),
        ({"owner": None}, "owner"),
    ],
)
async def test_terms_changed_by_hand_are_named_by_the_proof_and_put_right(
    bank: Bank, change: dict[str, Any], named: str
) -> None:
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    account = await an_account_with_a_past(alice, operator)
    await rebuild(operator)
    before = await accounts_of(bank)

    await bank.ledger["accounts"].update_one({"_id": account}, {"$set": change})
    proof = (await operator.get("/ledger/proof")).json()
    assert [it["id"] for it in proof["mismatches"]] == [account]
    assert f"its {named} is written down as" in proof["mismatches"][0]["problem"]

    assert await rebuild(operator) == {"accounts": len(before), "changed": 1, "removed": 0}
    assert await accounts_of(bank) == before
    assert (await operator.get("/ledger/proof")).json()["holds"]


async def test_an_account_that_no_record_opens_is_removed(bank: Bank) -> None:
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    account = await alice.open_account()
    [real] = [document for id_, document in (await accounts_of(bank)).items() if id_ == account]
    await bank.ledger["accounts"].insert_one({**real, "_id": "9999999999"})
    assert not (await operator.get("/ledger/proof")).json()["holds"]

    assert (await rebuild(operator))["removed"] == 1
    assert "9999999999" not in await accounts_of(bank)
    assert (await operator.get("/ledger/proof")).json()["holds"]


async def test_what_happens_meanwhile_is_neither_lost_nor_undone(bank: Bank) -> None:
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    accounts = [await alice.open_account() for _ in range(6)]
    done = asyncio.Event()
    freezes = 0

    async def keep_changing() -> None:
        nonlocal freezes
        while not done.is_set():
            account = accounts[freezes % len(accounts)]
            for act in ("freeze", "unfreeze"):
                answer = await operator.patch(f"/accounts/{account}/{act}", {"reason": "to and fro"})
                assert answer.status_code == 200, answer.text
            opened = await alice.open_account()
            assert (await operator.patch(f"/accounts/{opened}/freeze", {"reason": "new"})).status_code == 200
            freezes += 1

    changing = asyncio.create_task(keep_changing())
    try:
        for _ in range(5):
            await rebuild(operator)
    finally:
        done.set()
        await changing
    assert freezes > 0
    proof = (await operator.get("/ledger/proof")).json()
    assert proof["mismatches"] == []
    assert (await rebuild(operator))["changed"] == 0


async def test_it_is_an_operators_act_and_audited(bank: Bank) -> None:
    alice, operator = await bank.person(), await bank.person("Olga", "operator")
    refused = await alice.post("/ledger/accounts/rebuild", {"reason": "curiosity"})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    rebuilt = await rebuild(operator)
    entries = (await operator.get("/audit/ledger?action=rebuild_accounts")).json()["items"]
    newest = entries[0]
    assert (newest["reason"], newest["after"]) == ("a test", rebuilt)
    assert newest["actor"]["user_id"] == operator.user_id


async def test_its_progress_comes_as_lines(bank: Bank) -> None:
    operator = await bank.person("Olga", "operator")
    await rebuild(operator)
    streamed = await operator.call(
        "POST", "/ledger/accounts/rebuild", {"reason": "a test"}, Accept="application/x-ndjson"
    )
    *_, last = [RebuiltLine.model_validate_json(line) for line in streamed.text.splitlines()]
    assert last.result is not None
    assert (last.result.changed, last.result.removed) == (0, 0)
