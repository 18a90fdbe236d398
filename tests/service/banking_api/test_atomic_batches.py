"""All rows of an atomic batch are paid or none, in one database transaction."""

import asyncio
from typing import Any

import httpx
import pytest

from daemons.banking_api.ledger.journal import Journal, SealedGroup
from daemons.banking_api.ledger.pipeline import Pipeline
from daemons.banking_api.transactions.models import ATOMIC_LIMIT
from daemons.contracts.errors import OutcomeUnknownError
from daemons.contracts.vocabulary import BATCH_LIMIT
from tests.support.bank import CLOSED_PORT, Bank, Person, people, running_bank
from tests.support.waiting import eventually, patience

BATCH = "/transactions/batch"


def row(sender: str, receiver: str, amount: str, key: str) -> dict[str, Any]:
    return {
        "from_account": sender,
        "to_account": receiver,
        "amount": amount,
        "currency": "EUR",
        "idempotency_key": key,
    }


async def send(person: Person, rows: list[dict[str, Any]], **more: Any) -> httpx.Response:
    return await person.post(BATCH, {"transfers": rows, "atomic": True, **more})


async def results(person: Person, rows: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
    answer = await send(person, rows, **more)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def told(found: list[dict[str, Any]]) -> list[tuple[str, bool, str | None]]:
    return [(one["outcome"], one["replayed"], (one["problem"] or {}).get("code")) for one in found]


PAID = ("completed", False, None)
PAID_BEFORE = ("completed", True, None)
LEFT_OUT = ("refused", False, "atomic_batch_refused")


async def test_all_rows_are_paid_in_one_commit_and_again_only_told(bank: Bank, key: str) -> None:
    alice, bob, _, sender, receiver = await people(bank)
    savings = await alice.open_account()
    rows = [
        row(sender, savings, "60.00", f"{key}-0"),
        row(savings, receiver, "60.00", f"{key}-1"),
        row(sender, receiver, "40.00", f"{key}-2"),
    ]
    commits = (await Journal(bank.ledger).head()).number
    first = await results(alice, rows)
    assert told(first) == [PAID] * 3
    assert (await Journal(bank.ledger).head()).number == commits + 1
    assert await bob.balance(receiver) == "100.00"
    # Nothing is left of the money, and still it is told as it was.
    again = await results(alice, rows)
    assert told(again) == [PAID_BEFORE] * 3
    assert [one["transaction"] for one in again] == [one["transaction"] for one in first]
    assert await bob.balance(receiver) == "100.00"


async def test_nothing_is_paid_and_no_key_is_used_up_if_one_row_would_fail(bank: Bank, key: str) -> None:
    alice, bob, operator, sender, receiver = await people(bank)
    rows = [row(sender, receiver, "60.00", f"{key}-0"), row(sender, receiver, "60.00", f"{key}-1")]
    before = await bank.ledger["journal"].count_documents({})
    refused = await results(alice, rows)
    assert told(refused) == [LEFT_OUT, ("refused", False, "insufficient_funds")]
    assert {one["transaction_id"] for one in refused} == {None}
    assert await bank.ledger["journal"].count_documents({}) == before
    assert await bob.balance(receiver) == "0.00"
    await operator.fund(sender, "20.00")
    assert told(await results(alice, rows)) == [PAID] * 2
    assert await bob.balance(receiver) == "120.00"


async def test_a_malformed_row_refuses_the_others_with_it(bank: Bank, key: str) -> None:
    alice, bob, _, sender, receiver = await people(bank)
    rows = [
        row(sender, receiver, "1.00", f"{key}-0"),
        row(sender, receiver, "one", f"{key}-1"),
        row(sender, receiver, "1.00", f"{key}-0"),
    ]
    malformed = ("refused", False, "invalid_request")
    refused = await results(alice, rows)
    assert told(refused) == [LEFT_OUT, malformed, malformed]
    assert refused[1]["problem"]["errors"][0]["field"] == "amount"
    assert refused[2]["problem"]["errors"] == [
        {"field": "idempotency_key", "message": "stands at row 0 already"}
    ]
    assert await bob.balance(receiver) == "0.00"


async def test_known_and_new_keys_do_not_mix(bank: Bank, key: str) -> None:
    alice, bob, _, sender, receiver = await people(bank)
    known = row(sender, receiver, "1.00", f"{key}-0")
    poor = row(sender, receiver, "1000.00", f"{key}-1")
    assert (await alice.post(BATCH, {"transfers": [known, poor]})).status_code == 200
    new = row(sender, receiver, "2.00", f"{key}-2")
    mixed = await results(alice, [known, poor, new])
    assert told(mixed) == [
        PAID_BEFORE,
        ("failed", True, "insufficient_funds"),
        ("refused", False, "atomic_batch_partly_known"),
    ]
    other = {**known, "amount": "3.00"}
    assert told(await results(alice, [other, new])) == [
        ("refused", False, "idempotency_key_reused"),
        ("refused", False, "atomic_batch_partly_known"),
    ]
    assert await bob.balance(receiver) == "1.00"
    assert told(await results(alice, [new])) == [PAID]


async def test_a_long_batch_is_taken_whole_and_a_longer_one_is_not(bank: Bank, key: str) -> None:
    alice, bob, _, sender, receiver = await people(bank)
    rows = [row(sender, receiver, "0.01", f"{key}-{number}") for number in range(ATOMIC_LIMIT)]
    commits = (await Journal(bank.ledger).head()).number
    assert {one["outcome"] for one in await results(alice, rows)} == {"completed"}
    assert (await Journal(bank.ledger).head()).number == commits + 1
    assert await bob.balance(receiver) == "40.00"
    longer = await send(alice, [*rows, row(sender, receiver, "0.01", key)])
    assert (longer.status_code, longer.json()["errors"][0]["field"]) == (422, "transfers")
    plain = await alice.post(BATCH, {"transfers": rows[: BATCH_LIMIT + 1]})
    assert (plain.status_code, plain.json()["errors"][0]["field"]) == (422, "transfers")
    large = await send(alice, [{**rows[0], "reference": "x" * 1_100_000}])
    assert (large.status_code, large.json()["code"]) == (413, "payload_too_large")


async def test_a_batch_may_follow_an_atomic_one_and_an_atomic_one_a_batch(bank: Bank, key: str) -> None:
    alice, _, _, sender, receiver = await people(bank)
    savings = await alice.open_account()
    first = asyncio.create_task(results(alice, [row(sender, savings, "100.00", f"{key}-0")]))
    second = asyncio.create_task(
        results(alice, [row(savings, sender, "100.00", f"{key}-1")], after=f"{key}-0")
    )
    third = {"transfers": [row(sender, receiver, "100.00", f"{key}-2")], "after": f"{key}-1"}
    last = (await alice.post(BATCH, third)).json()["results"]
    assert [told(await first), told(await second), told(last)] == [[PAID]] * 3
    # What a rule refuses is settled, as a failed row is: what follows is paid.
    poor = asyncio.create_task(results(alice, [row(sender, receiver, "1.00", f"{key}-3")]))
    back = [row(sender, receiver, "0.01", f"{key}-4")]
    follower = await alice.post(BATCH, {"transfers": back, "after": f"{key}-3"})
    assert told(await poor) == [("refused", False, "insufficient_funds")]
    assert told(follower.json()["results"]) == [("failed", False, "insufficient_funds")]
    never = await send(alice, [row(sender, receiver, "1.00", f"{key}-5")], after="never-sent")
    assert (never.status_code, never.json()["code"]) == (409, "batch_before_not_settled")


async def test_an_unknown_commit_leaves_every_row_unknown(
    bank: Bank, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, _, sender, receiver = await people(bank)
    rows = [row(sender, receiver, "1.00", f"{key}-{number}") for number in range(3)]

    async def lost(*_arguments: object, **_named: object) -> None:
        await asyncio.sleep(0)
        raise OutcomeUnknownError("outcome_unknown", "by the test")

    monkeypatch.setattr(Pipeline, "_write", lost)
    assert told(await results(alice, rows)) == [("unknown", False, "outcome_unknown")] * 3
    monkeypatch.undo()
    assert told(await results(alice, rows)) == [PAID] * 3
    assert await bob.balance(receiver) == "3.00"


async def test_a_fault_in_writing_fails_the_whole_and_is_not_taken_apart(
    bank: Bank, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, _, sender, receiver = await people(bank)
    rows = [row(sender, receiver, "1.00", f"{key}-{number}") for number in range(4)]
    append = Journal.append

    async def choke(journal: Journal, group: SealedGroup, *, session: Any) -> None:
        await append(journal, group, session=session)
        if len(group.records) == len(rows):
            raise RuntimeError("by the test")

    monkeypatch.setattr(Journal, "append", choke)
    assert told(await results(alice, rows)) == [("refused", False, "internal")] * 4
    assert await bob.balance(receiver) == "0.00"
    monkeypatch.undo()
    assert told(await results(alice, rows)) == [PAID] * 4


async def test_who_is_gone_does_not_take_half_of_it_away(
    bank: Bank, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob, _, sender, receiver = await people(bank)
    rows = [row(sender, receiver, "1.00", f"{key}-{number}") for number in range(3)]
    reached, may_go_on = asyncio.Event(), asyncio.Event()
    append = Journal.append

    async def wait(journal: Journal, group: SealedGroup, *, session: Any) -> None:
        reached.set()
        await may_go_on.wait()
        await append(journal, group, session=session)

    monkeypatch.setattr(Journal, "append", wait)
    asking = asyncio.create_task(send(alice, rows))
    async with patience("the batch to be written"):
        await reached.wait()
    again = await results(alice, rows)
    assert told(again) == [("refused", False, "idempotency_key_in_use")] * 3
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    may_go_on.set()

    async def paid() -> bool:
        return await bob.balance(receiver) == "3.00"

    await eventually(paid)
    assert told(await results(alice, rows)) == [PAID_BEFORE] * 3


async def test_what_another_process_has_spent_is_seen_before_anything_is_refused_or_paid(
    mongo_uri: str, key: str
) -> None:
    async with (
        running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as one,
        running_bank(mongo_uri, kafka_broker=CLOSED_PORT, suffix=one.suffix) as other,
    ):
        alice, _, operator, sender, receiver = await people(one)

        def at(bank: Bank, person: Person) -> Person:
            return Person("", "", "", bank.http, bank.user_api, bank.banking_api, person.headers)

        there = at(other, alice)
        # Each learns what the other has done only from the database.
        rows = [row(sender, receiver, "50.00", f"{key}-{number}") for number in range(3)]
        assert told(await results(alice, rows[:1])) == [PAID]
        assert told(await results(there, rows[1:])) == [LEFT_OUT, ("refused", False, "insufficient_funds")]
        assert (await operator.fund(sender, "50.00")).status_code == 201
        assert told(await results(there, rows[1:])) == [PAID] * 2
        assert told(await results(alice, rows[1:])) == [PAID_BEFORE] * 2
        proof = (await operator.get("/ledger/proof")).json()
        assert proof["holds"], proof["mismatches"]


async def test_many_at_once_each_happen_whole_or_not_at_all(bank: Bank, key: str) -> None:
    alice, bob, operator, sender, receiver = await people(bank)

    async def one(number: int) -> list[tuple[str, bool, str | None]]:
        rows = [row(sender, receiver, "3.00", f"{key}-{number}-{place}") for place in range(5)]
        return told(await results(alice, rows))

    found = await asyncio.gather(*(one(number) for number in range(10)))
    paid = [outcome for outcome in found if outcome == [PAID] * 5]
    assert len(paid) == 6
    # With ten left a fourth row of three is one too many.
    assert [outcome for outcome in found if outcome not in paid] == [
        [LEFT_OUT] * 3 + [("refused", False, "insufficient_funds")] * 2
    ] * 4
    assert (await alice.balance(sender), await bob.balance(receiver)) == ("10.00", "90.00")
    proof = (await operator.get("/ledger/proof")).json()
    assert proof["holds"], proof["mismatches"]
