"""Transfers over the real routes: the mistakes of earlier systems of this kind, each one a test."""

import asyncio
from collections import Counter
from dataclasses import replace
from uuid import UUID

import pytest

from daemons.banking_api.ledger.journal import Journal
from tests.support.bank import CLOSED_PORT, Bank, people, running_bank


async def test_money_moves_from_the_owners_account(bank: Bank) -> None:
    alice, bob, _, sender, receiver = await people(bank)
    answer = await alice.transfer(sender, receiver, "12.34", reference="rent")
    body = answer.json()
    assert answer.status_code == 201
    assert body["status"] == "completed"
    assert body["amount"] == {"amount": "12.34", "currency": "EUR"}
    assert (body["from_account"], body["to_account"], body["reference"]) == (sender, receiver, "rent")
    assert (await alice.balance(sender), await bob.balance(receiver)) == ("87.66", "12.34")
    in_full = {**body, "taken_back": {"amount": "0.00", "currency": "EUR"}, "follow_ups": []}
    assert (await bob.get(f"/transactions/{body['id']}")).json() == in_full


async def test_an_account_one_does_not_own_is_not_debited(bank: Bank) -> None:
    alice, bob, operator, sender, receiver = await people(bank)
    for thief in (bob, operator):
        answer = await thief.transfer(sender, receiver, "1.00")
        assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
    assert await alice.balance(sender) == "100.00"
    history = (await alice.get(f"/accounts/{sender}/transactions")).json()["items"]
    assert [line["kind"] for line in history] == ["funding"]


async def test_a_refused_theft_is_kept_with_reason_and_accounts(bank: Bank) -> None:
    _, bob, _, sender, receiver = await people(bank)
    answer = await bob.transfer(sender, receiver, "1.00")
    kept = (await bob.get(f"/transactions/{answer.json()['details']['transaction_id']}")).json()
    assert kept["status"] == "failed"
    assert kept["failure"]["code"] == "account_not_found"
    assert (kept["from_account"], kept["to_account"]) == (sender, receiver)


@pytest.mark.parametrize("frozen", ["sender", "receiver"])
async def test_no_money_moves_on_a_frozen_account(bank: Bank, frozen: str) -> None:
    alice, bob, operator, sender, receiver = await people(bank)
    target = sender if frozen == "sender" else receiver
    await operator.patch(f"/accounts/{target}/freeze", {"reason": "court order"})
    answer = await alice.transfer(sender, receiver, "1.00")
    assert (answer.status_code, answer.json()["code"]) == (422, "account_frozen")
    assert (await operator.fund(target, "1.00")).json()["code"] == "account_frozen"
    assert (await alice.balance(sender), await bob.balance(receiver)) == ("100.00", "0.00")


async def test_lack_of_funds_is_a_refusal_that_is_kept(bank: Bank) -> None:
    alice, bob, _, sender, receiver = await people(bank)
    answer = await alice.transfer(sender, receiver, "100.01")
    body = answer.json()
    assert (answer.status_code, body["code"], body["category"]) == (422, "insufficient_funds", "rejected")
    assert "100.00 EUR" in body["detail"]
    [attempt, _] = (await alice.get(f"/accounts/{sender}/transactions")).json()["items"]
    assert attempt["failure"]["code"] == "insufficient_funds"
    assert (attempt["amount"], attempt["balance_after"]) == ("-100.01", None)
    assert (await bob.get(f"/accounts/{receiver}/transactions")).json()["items"] == []
    assert (await bob.get(f"/transactions/{body['details']['transaction_id']}")).status_code == 404


async def test_a_user_cannot_credit_himself_from_outside(bank: Bank) -> None:
    alice = await bank.person()
    account = await alice.open_account()
    answer = await alice.fund(account, "1000000.00")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert await alice.balance(account) == "0.00"


async def test_a_transfer_to_oneself_mints_nothing(bank: Bank) -> None:
    alice, _, _, sender, _ = await people(bank)
    answer = await alice.transfer(sender, sender, "10.00")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert await alice.balance(sender) == "100.00"


async def test_the_settlement_account_is_out_of_reach(bank: Bank) -> None:
    alice, _, operator, sender, _ = await people(bank)
    for from_account, to_account in (("settlement:EUR", sender), (sender, "settlement:EUR")):
        answer = await alice.transfer(from_account, to_account, "1.00")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert (await operator.get("/accounts/settlement:EUR")).status_code == 404
    assert (await operator.fund("settlement:EUR", "1")).status_code == 404


async def test_the_same_key_pays_once(bank: Bank, key: str) -> None:
    alice, _, _, sender, receiver = await people(bank)
    first = await alice.transfer(sender, receiver, "10.00", key=key)
    again = await alice.transfer(sender, receiver, "10.00", key=key)
    assert first.json() == again.json()
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await alice.balance(sender) == "90.00"


async def test_a_refusal_is_replayed_too(bank: Bank, key: str) -> None:
    alice, _, operator, sender, receiver = await people(bank, "1.00")
    first = await alice.transfer(sender, receiver, "10.00", key=key)
    await operator.fund(sender, "50.00")
    again = await alice.transfer(sender, receiver, "10.00", key=key)
    assert first.json()["details"] == again.json()["details"]
    assert again.json()["code"] == "insufficient_funds"


async def test_a_key_is_for_one_request(bank: Bank, key: str) -> None:
    alice, _, _, sender, receiver = await people(bank)
    await alice.transfer(sender, receiver, "10.00", key=key)
    good = {"from_account": sender, "to_account": receiver, "amount": "10.00", "currency": "EUR"}
    for body in (
        {**good, "amount": "10.01"},
        {**good, "reference": "other"},
        {**good, "from_account": receiver, "to_account": sender},
    ):
        answer = await alice.post("/transactions/transfer", body, key=key)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert await alice.balance(sender) == "90.00"


async def test_a_key_belongs_to_its_user(bank: Bank, key: str) -> None:
    alice, bob, _, sender, receiver = await people(bank)
    await alice.transfer(sender, receiver, "10.00", key=key)
    back = await bob.transfer(receiver, sender, "4.00", key=key)
    assert back.status_code == 201
    assert (await alice.balance(sender), await bob.balance(receiver)) == ("94.00", "6.00")


async def test_the_same_key_at_once_pays_once(bank: Bank, key: str) -> None:
    alice, _, _, sender, receiver = await people(bank)
    answers = await asyncio.gather(*(alice.transfer(sender, receiver, "10.00", key=key) for _ in range(20)))
    codes = Counter(answer.json().get("code", "paid") for answer in answers)
    assert set(codes) <= {"paid", "idempotency_key_in_use"}
    assert codes["paid"] >= 1
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    assert await alice.balance(sender) == "90.00"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (None, "idempotency_key_missing"),
        ("two words", "invalid_idempotency_key"),
        ("k" * 129, "invalid_idempotency_key"),
    ],
)
async def test_a_key_is_needed(bank: Bank, wrong: str | None, code: str) -> None:
    alice, _, operator, sender, receiver = await people(bank)
    body = {"from_account": sender, "to_account": receiver, "amount": "1.00", "currency": "EUR"}
    transfer = await alice.post("/transactions/transfer", body, key=wrong)
    funding = {"amount": "1", "currency": "EUR"}
    for answer in (transfer, await operator.post(f"/accounts/{sender}/fund", funding, key=wrong)):
        assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert await alice.balance(sender) == "100.00"


async def test_a_hot_account_loses_no_payment(bank: Bank) -> None:
    """A balance changed by read-modify-write outside a transaction would lose some of these."""
    alice, bob, _, sender, receiver = await people(bank)
    answers = await asyncio.gather(*(alice.transfer(sender, receiver, "1.00") for _ in range(120)))
    codes = Counter(answer.json().get("code", "paid") for answer in answers)
    assert codes == {"paid": 100, "insufficient_funds": 20}
    assert (await alice.balance(sender), await bob.balance(receiver)) == ("0.00", "100.00")


async def test_a_statement_shows_ones_own_side_only(bank: Bank) -> None:
    alice, bob, _, sender, receiver = await people(bank)
    await alice.transfer(sender, receiver, "30.00", reference="rent")
    [hers, _] = (await alice.get(f"/accounts/{sender}/transactions")).json()["items"]
    [his] = (await bob.get(f"/accounts/{receiver}/transactions")).json()["items"]
    assert (hers["amount"], hers["balance_after"], hers["sequence"]) == ("-30.00", "70.00", 2)
    assert (his["amount"], his["balance_after"], his["sequence"]) == ("30.00", "30.00", 1)
    assert hers["counterparty"] == {"account_id": receiver, "display_name": "Bob"}
    assert his["counterparty"] == {"account_id": sender, "display_name": "Alice"}
    text = (await bob.get(f"/accounts/{receiver}/transactions")).text
    assert "70.00" not in text


async def test_a_failed_attempt_tells_nothing_of_the_other_party_but_the_number(bank: Bank) -> None:
    """Else whoever tries to pay too much learns whose any account number is."""
    alice, bob, _, sender, receiver = await people(bank)
    await alice.transfer(sender, receiver, "500.00")
    answer = await alice.get(f"/accounts/{sender}/transactions")
    failed = answer.json()["items"][0]
    assert (failed["status"], failed["balance_after"], failed["sequence"]) == ("failed", None, None)
    assert failed["counterparty"] == {"account_id": receiver, "display_name": None}
    assert "Bob" not in answer.text
    assert (await bob.get(f"/accounts/{receiver}/transactions")).json()["items"] == []


async def test_names_of_a_whole_page_are_looked_up_at_once(bank: Bank) -> None:
    """One user look-up per history row was a mistake of earlier systems; user_api's own count proves it."""
    alice, _, operator, sender, _ = await people(bank)
    others = [await bank.person(f"Friend{number}") for number in range(6)]
    for other in others:
        await alice.transfer(sender, await other.open_account(), "1.00")
    before = await batch_lookups(bank)
    page = (await alice.get(f"/accounts/{sender}/transactions")).json()
    assert len({line["counterparty"]["display_name"] for line in page["items"] if line["counterparty"]}) == 6
    assert await batch_lookups(bank) - before <= 1
    assert operator.user_id


async def batch_lookups(bank: Bank) -> float:
    text = (await bank.http.get(f"{bank.user_api}/metrics")).text
    return sum(
        float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line.startswith("bankctl_http_request_seconds_count") and 'route="/internal/users/' in line
    )


async def test_history_goes_page_by_page(bank: Bank) -> None:
    alice, _, _, sender, receiver = await people(bank)
    for cents in range(1, 8):
        await alice.transfer(sender, receiver, f"0.0{cents}")
    amounts: list[str] = []
    cursor = ""
    while True:
        page = (await alice.get(f"/accounts/{sender}/transactions?limit=3{cursor}")).json()
        amounts += [line["amount"] for line in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert amounts == [f"-0.0{cents}" for cents in range(7, 0, -1)] + ["100.00"]


async def test_a_preview_tells_both_names_and_moves_nothing(bank: Bank) -> None:
    alice, _, _, sender, receiver = await people(bank)
    body = {"from_account": sender, "to_account": receiver, "amount": "30", "currency": "EUR"}
    preview = (await alice.post("/transactions/preview", body)).json()
    assert preview["from"]["display_name"] == "Alice"
    assert preview["from"]["balance_after"] == {"amount": "70.00", "currency": "EUR"}
    assert preview["to"] == {"account_id": receiver, "display_name": "Bob"}
    assert preview["outcome"] == "completed"
    body["amount"] = "100.01"
    refused = (await alice.post("/transactions/preview", body)).json()
    assert (refused["outcome"], refused["failure"]["code"]) == ("failed", "insufficient_funds")
    assert await alice.balance(sender) == "100.00"


async def test_a_batch_settles_every_row_on_its_own(bank: Bank) -> None:
    alice, bob, _, sender, receiver = await people(bank)

    def row(key: str, **changed: object) -> dict[str, object]:
        good = {"from_account": sender, "to_account": receiver, "amount": "10", "currency": "EUR"}
        return {"idempotency_key": key, **good, **changed}

    batch = [
        row("one"),
        row("two", amount="1000.00"),
        row("three", amount="ten"),
        row("four", to_account="1234567890"),
        row("five", from_account=receiver, to_account=sender),
        row("one"),
        row("six", colour="blue"),
        row("seven"),
    ]
    answer = await alice.post("/transactions/batch", {"transfers": batch})
    results = answer.json()["results"]
    assert answer.status_code == 200
    assert [result["outcome"] for result in results] == [
        "completed",
        "failed",
        "refused",
        "refused",
        "failed",
        "refused",
        "refused",
        "completed",
    ]
    assert results[1]["problem"]["code"] == "insufficient_funds"
    assert results[2]["problem"]["errors"][0]["field"] == "amount"
    assert results[3]["problem"]["errors"][0]["field"] == "to_account"
    assert results[5]["problem"]["code"] == "idempotency_key_in_use"
    assert results[6]["problem"]["errors"][0]["field"] == "colour"
    assert (await alice.balance(sender), await bob.balance(receiver)) == ("80.00", "20.00")
    again = (await alice.post("/transactions/batch", {"transfers": batch[:2]})).json()["results"]
    assert [result["replayed"] for result in again] == [True, True]
    assert await alice.balance(sender) == "80.00"


async def test_the_books_are_proved(bank: Bank) -> None:
    alice, _, operator, sender, receiver = await people(bank)
    await alice.transfer(sender, receiver, "30.00")
    await alice.transfer(sender, receiver, "3000.00")
    proof = (await operator.get("/ledger/proof")).json()
    assert proof["holds"] is True
    assert all(total["sum_minor"] == "0" for total in proof["currencies"])
    assert proof["mismatches"] == []
    assert proof["journal_transactions"] == proof["completed"] + proof["failed"]
    records = await bank.ledger["journal"].count_documents({"kind": {"$ne": "seal"}})
    assert proof["events"]["count"] == records > proof["journal_transactions"]
    assert (await alice.get("/ledger/proof")).status_code == 403


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"balance": 1}, "entries sum to"),
        ({"sequence": 9}, "gaps"),
    ],
)
async def test_books_that_were_touched_are_found_out(bank: Bank, change: dict[str, int], says: str) -> None:
    alice, _, operator, sender, receiver = await people(bank)
    await alice.transfer(sender, receiver, "30.00")
    before = await bank.ledger["accounts"].find_one({"_id": sender})
    assert before is not None
    await bank.ledger["accounts"].update_one({"_id": sender}, {"$inc": change})
    try:
        proof = (await operator.get("/ledger/proof")).json()
    finally:
        await bank.ledger["accounts"].replace_one({"_id": sender}, before)
    assert proof["holds"] is False
    assert any(found["id"] == sender and says in found["problem"] for found in proof["mismatches"])


async def test_each_journal_transaction_has_one_event_in_the_same_commit(bank: Bank) -> None:
    alice, _, _, sender, receiver = await people(bank)
    done = (await alice.transfer(sender, receiver, "1.00")).json()["id"]
    failed = (await alice.transfer(sender, receiver, "1000.00")).json()["details"]["transaction_id"]
    journal = Journal(bank.ledger)
    head = await journal.head()
    sealed = {id_ for _, ids in await journal.seals_after(head.number - 20, limit=20) for id_ in ids}
    assert {UUID(done), UUID(failed)} <= sealed


async def test_a_key_is_known_to_every_process(bank: Bank, mongo_uri: str, key: str) -> None:
    alice, _, _, sender, receiver = await people(bank)
    first = await alice.transfer(sender, receiver, "10.00", key=key)
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT, suffix=bank.suffix) as other:
        elsewhere = replace(alice, banking_api=other.banking_api, user_api=other.user_api)
        again = await elsewhere.transfer(sender, receiver, "10.00", key=key)
        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["Idempotent-Replayed"] == "true"
        reused = await elsewhere.transfer(sender, receiver, "11.00", key=key)
        assert reused.json()["code"] == "idempotency_key_reused"
    assert await alice.balance(sender) == "90.00"


async def test_two_processes_share_a_hot_account(bank: Bank, mongo_uri: str) -> None:
    """No lock in memory carries correctness: both commit to the same accounts, and conflicts decide again."""
    alice, bob, _, sender, receiver = await people(bank)
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT, suffix=bank.suffix) as other:
        elsewhere = replace(alice, banking_api=other.banking_api)
        people_at_once = [alice, elsewhere] * 60
        answers = await asyncio.gather(
            *(person.transfer(sender, receiver, "1.00") for person in people_at_once)
        )
    codes = Counter(answer.json().get("code", "paid") for answer in answers)
    assert codes == {"paid": 100, "insufficient_funds": 20}
    assert (await alice.balance(sender), await bob.balance(receiver)) == ("0.00", "100.00")
