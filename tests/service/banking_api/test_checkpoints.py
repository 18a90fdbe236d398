"""Checkpoints and receipts over HTTP, from a bank whose journal grows, is left alone or is rewritten."""

import asyncio
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from bankctl.local.service_keys import make_key
from daemons.banking_api.books.checkpoint_routes import CHECKPOINTS_KEY
from daemons.banking_api.books.checkpoints import CheckpointKeys, Checkpoints
from daemons.banking_api.books.proven_states import ProvenStates
from daemons.banking_api.books.receipts import AT_ONCE_SECONDS, Receipt, Receipts
from daemons.banking_api.ledger.journal import Journal
from daemons.contracts.checkpoint import open_note, read_checkpoint, read_key
from daemons.contracts.errors import ConflictError, TransientError
from daemons.contracts.merkle import is_consistent
from daemons.shared.auth.keys import read_private_key
from daemons.shared.clock import utc_now
from tests.support.bank import CLOSED_PORT, Bank, Person, running_bank
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest_asyncio.fixture(scope="module")
async def shared_bank(mongo_uri: str, folder: Path) -> AsyncIterator[Bank]:
    """Its journal grows from test to test, and is never damaged."""
    settings = {"checkpoint_folder": folder}
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT, banking=settings) as running:
        await pay(running)
        await checkpoints(running).make()
        yield running


@pytest_asyncio.fixture
async def bank(shared_bank: Bank) -> Bank:
    return shared_bank


@pytest_asyncio.fixture
async def own_bank(mongo_uri: str) -> AsyncIterator[Bank]:
    """One that may be damaged."""
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as running:
        yield running


def checkpoints(bank: Bank) -> Checkpoints:
    return bank.app[CHECKPOINTS_KEY]


async def until_exists(path: Path) -> None:
    async def exists() -> bool:
        return await asyncio.to_thread(path.exists)

    await eventually(exists, found=lambda: path)


async def pay(bank: Bank) -> tuple[Person, Person, str]:
    """A transfer by one person to another; returns both and its id."""
    payer, payee, operator = await bank.person(), await bank.person(), await bank.person(role="operator")
    sender, receiver = await payer.open_account(), await payee.open_account()
    await operator.fund(sender, "10.00")
    done = await payer.transfer(sender, receiver, "3.00")
    assert done.status_code == 201, done.text
    return payer, payee, done.json()["id"]


async def test_the_head_is_signed_with_a_published_key_and_follows_from_the_one_before(bank: Bank) -> None:
    await pay(bank)
    first = await checkpoints(bank).make()
    assert first is not None
    assert await checkpoints(bank).make() == first
    await pay(bank)
    second = await checkpoints(bank).make()
    assert second is not None
    assert (second.number, second.is_proved) == (first.number + 1, False)
    operator = await bank.person(role="support")
    keys = await bank.http.get(f"{bank.banking_api}/ledger/checkpoint-keys")
    [key] = [read_key(text) for text in keys.json()["keys"]]
    older, newer = (open_note(one.note, [key]).checkpoint for one in (first, second))
    head = await Journal(bank.ledger).head()
    assert (newer.size, newer.root, newer.records) == (head.number, head.root, head.records)
    answer = await operator.get(f"/ledger/consistency?older={older.size}&newer={newer.size}")
    path = [b64decode(node) for node in answer.json()["path"]]
    assert is_consistent(older.size, older.root, newer.size, newer.root, path)


async def test_they_are_listed_shown_and_counted(bank: Bank) -> None:
    support = await bank.person(role="support")
    for _ in range(3):
        await pay(bank)
        await checkpoints(bank).make()
    everything = (await support.get("/ledger/checkpoints")).json()
    numbers = [item["number"] for item in everything["items"]]
    assert everything["next_cursor"] is None
    # The ledger may have made one by itself.
    assert numbers == list(range(len(numbers), 0, -1))
    assert len(numbers) >= 3
    page = (await support.get("/ledger/checkpoints?limit=2")).json()
    rest = (await support.get(f"/ledger/checkpoints?cursor={page['next_cursor']}")).json()
    assert [*page["items"], *rest["items"]] == everything["items"]
    shown = (await support.get("/ledger/checkpoints/1")).json()
    assert shown == rest["items"][-1]
    assert read_checkpoint(shown["note"]).size == shown["size"]
    for number in ("99", "x", "9" * 40):
        assert (await support.get(f"/ledger/checkpoints/{number}")).status_code == 404
    assert (await support.get("/ledger/checkpoints?cursor=AAAA")).status_code == 400
    assert (await support.get("/ledger/consistency?older=2&newer=1")).status_code == 422
    assert (await support.get("/ledger/consistency?older=2&newer=999999")).status_code == 404


async def test_each_goes_into_the_folder_and_none_there_is_overwritten(bank: Bank, folder: Path) -> None:
    await pay(bank)
    first = await checkpoints(bank).make()
    assert first is not None
    written = folder / f"checkpoint-{first.number:08}.txt"
    await until_exists(written)
    assert written.read_text("utf-8") == first.note
    kept = folder / f"checkpoint-{first.number + 1:08}.txt"
    kept.write_text("what an auditor has kept", "utf-8")
    await pay(bank)
    await checkpoints(bank).make()
    await pay(bank)
    third = await checkpoints(bank).make()
    assert third is not None
    await until_exists(folder / f"checkpoint-{third.number:08}.txt")
    assert kept.read_text("utf-8") == "what an auditor has kept"


async def test_the_ledger_signs_by_itself_once_there_is_something_to_sign(own_bank: Bank) -> None:
    await pay(own_bank)

    async def signed() -> bool:
        return await checkpoints(own_bank).newest() is not None

    await eventually(signed)


async def test_nothing_is_signed_that_does_not_follow_from_what_was_signed(own_bank: Bank) -> None:
    await pay(own_bank)
    first = await checkpoints(own_bank).make()
    assert first is not None
    await pay(own_bank)
    head = await Journal(own_bank.ledger).head()
    await own_bank.ledger["journal"].update_one({"_id": 1}, {"$set": {"hash": b"x" * 32}})
    await own_bank.ledger["journal"].update_many({"_id": {"$gte": 1}}, {"$set": {"hash": b"x" * 32}})
    with pytest.raises(ConflictError, match="was rewritten") as refused:
        await checkpoints(own_bank).make(head._replace(frontier=(b"x" * 32,)))
    assert refused.value.code == "books_do_not_hold"
    assert await checkpoints(own_bank).newest() == first


async def test_a_stored_checkpoint_that_was_changed_is_found_when_the_next_is_made(own_bank: Bank) -> None:
    await pay(own_bank)
    first = await checkpoints(own_bank).make()
    assert first is not None
    await own_bank.ledger["checkpoints"].update_one(
        {"number": first.number}, {"$set": {"note": first.note.replace("records ", "records 9")}}
    )
    with pytest.raises(ConflictError, match="was changed"):
        await checkpoints(own_bank).make()


async def test_a_new_key_goes_on_where_the_old_one_is_known(own_bank: Bank) -> None:
    await pay(own_bank)
    first = await checkpoints(own_bank).make()
    assert first is not None
    old = checkpoints(own_bank).keys
    bank_id = UUID(old.origin.partition("/")[2])
    private = read_private_key(make_key())
    await pay(own_bank)
    unknown = Checkpoints(own_bank.ledger, CheckpointKeys(bank_id, private, []), clock=utc_now)
    with pytest.raises(ConflictError, match="CHECKPOINT_OLD_KEYS"):
        await unknown.make()
    keys = CheckpointKeys(bank_id, private, [old.current])
    second = await Checkpoints(own_bank.ledger, keys, clock=utc_now).make()
    assert second is not None
    assert keys.open(second.note).key == keys.current != old.current
    assert keys.open(first.note).key == old.current


async def test_many_at_once_are_one_line_of_checkpoints(bank: Bank) -> None:
    await pay(bank)
    made = await asyncio.gather(*(checkpoints(bank).make() for _ in range(8)))
    assert len({one.number for one in made if one is not None}) == 1


async def receipt(bank: Bank, person: Person, transaction_id: str, **body: Any) -> Any:
    await checkpoints(bank).make()
    return await person.post(f"/transactions/{transaction_id}/receipt", body)


async def test_a_party_gets_the_record_without_balances_and_staff_all_of_it(bank: Bank) -> None:
    payer, payee, transaction_id = await pay(bank)
    support, stranger = await bank.person(role="support"), await bank.person()
    whole = (await receipt(bank, support, transaction_id)).json()
    assert whole["record"]["entries"] is not None
    for party in (payer, payee):
        shown = (await receipt(bank, party, transaction_id)).json()
        assert shown == {**whole, "record": {**whole["record"], "entries": None}}
    assert (await receipt(bank, stranger, transaction_id)).status_code == 404
    assert (await receipt(bank, payer, "no-id")).status_code == 404


async def test_receipts_do_not_make_a_checkpoint_each(bank: Bank) -> None:
    await checkpoints(bank).make()
    _, _, transaction_id = await pay(bank)
    newest = await checkpoints(bank).newest()
    assert newest is not None

    async def after(seconds: float) -> Receipt:
        now = newest.at + timedelta(seconds=seconds)
        receipts = Receipts(bank.ledger, checkpoints(bank), clock=lambda: now)
        return await receipts.of(UUID(transaction_id), whole=False)

    with pytest.raises(TransientError) as refused:
        await after(AT_ONCE_SECONDS - 0.001)
    assert (refused.value.code, refused.value.retry_after_seconds) == ("checkpoint_pending", AT_ONCE_SECONDS)
    assert await checkpoints(bank).newest() == newest
    made = await after(AT_ONCE_SECONDS)
    assert read_checkpoint(made.checkpoint).size == (await Journal(bank.ledger).head()).number


async def test_a_receipt_shows_that_it_follows_from_a_checkpoint_that_one_holds(bank: Bank) -> None:
    payer, _, transaction_id = await pay(bank)
    held = await checkpoints(bank).make()
    assert held is not None
    await pay(bank)
    shown = (await receipt(bank, payer, transaction_id, since=held.size)).json()
    older, newer = read_checkpoint(held.note), read_checkpoint(shown["checkpoint"])
    proof = shown["consistency"]
    assert (proof["older"], proof["newer"]) == (older.size, newer.size)
    path = [b64decode(node) for node in proof["path"]]
    assert is_consistent(older.size, older.root, newer.size, newer.root, path)
    assert (await receipt(bank, payer, transaction_id, since=10**9)).status_code == 404


@pytest.mark.parametrize("damage", ["record", "neighbour", "seal"])
async def test_no_receipt_is_given_of_what_was_changed(own_bank: Bank, damage: str) -> None:
    payer, _, transaction_id = await pay(own_bank)
    journal = own_bank.ledger["journal"]
    record = await journal.find_one({"_id": UUID(transaction_id)})
    assert record is not None
    if damage == "record":
        await journal.update_one({"_id": record["_id"]}, {"$set": {"data.reference": "forged"}})
    elif damage == "neighbour":
        await journal.update_one({"_id": record["seal"]}, {"$set": {"ids": b"x" * 16}})
    else:
        await journal.update_one({"_id": record["seal"]}, {"$set": {"root": b"x" * 32}})
    refused = await receipt(own_bank, payer, transaction_id)
    assert (refused.status_code, refused.json()["code"]) == (409, "books_do_not_hold")


async def problems(bank: Bank) -> list[str]:
    """What a proof finds; it signs only if that is nothing."""
    support = await bank.person(role="support")
    before = await checkpoints(bank).newest()
    proof = (await support.post("/ledger/proof", {})).json()
    assert proof["holds"] is not bool(proof["mismatches"])
    assert (proof["checkpoint"] is not None) is proof["holds"]
    after = await checkpoints(bank).newest()
    assert proof["holds"] or before == after
    return [f"{found['id']}: {found['problem']}" for found in proof["mismatches"]]


async def test_a_proof_signs_the_end_up_to_which_the_books_hold(bank: Bank) -> None:
    await pay(bank)
    support = await bank.person(role="support")
    proof = (await support.post("/ledger/proof", {})).json()
    signed = checkpoints(bank).keys.open(proof["checkpoint"]["note"]).checkpoint
    head = await Journal(bank.ledger).head()
    assert (signed.size, signed.root) == (head.number, head.root)
    assert (proof["holds"], proof["checkpoint"]["proved"]) == (True, True)
    newest: dict[str, tuple[int, int]] = {}
    async for record in bank.ledger["journal"].find({"status": "completed"}):
        for entry in record["entries"]:
            account, state = entry["account"], (entry["sequence"], entry["balance"])
            newest[account] = max(newest.get(account, (-1, 0)), state)
    assert signed.states is not None
    kept = await ProvenStates(bank.ledger).load(signed.states)
    assert kept is not None
    assert {id_: (state.sequence, state.balance_minor) for id_, state in kept.accounts.items()} == newest
    assert await problems(bank) == []


async def test_what_was_done_to_checkpoints_is_named(own_bank: Bank) -> None:
    for _ in range(3):
        await pay(own_bank)
        await checkpoints(own_bank).make()
    collection = own_bank.ledger["checkpoints"]
    stored = [document async for document in collection.find().sort("number")]

    async def found(change: Callable[[], Awaitable[object]]) -> str:
        await change()
        text = "; ".join(await problems(own_bank))
        await collection.delete_many({})
        await collection.insert_many(stored)
        return text

    second = {"number": stored[1]["number"]}
    name = f"checkpoint {second['number']}"
    forged = stored[1]["note"].replace("records ", "records 1")
    changed = await found(lambda: collection.update_one(second, {"$set": {"note": forged}}))
    assert f"{name}: was changed" in changed
    assert f"{name}: is not what" in await found(lambda: collection.update_one(second, {"$set": {"size": 1}}))
    assert "what was between is missing" in await found(lambda: collection.delete_one(second))
    no_note = await found(lambda: collection.update_one(second, {"$unset": {"note": 1}}))
    assert f"{name}: was changed" in no_note
    assert await problems(own_bank) == []


async def test_a_journal_that_was_cut_behind_a_checkpoint_is_named(own_bank: Bank) -> None:
    await pay(own_bank)
    made = await checkpoints(own_bank).make()
    assert made is not None
    journal = own_bank.ledger["journal"]
    last = await journal.find_one({"_id": made.size})
    assert last is not None
    await journal.delete_many({"$or": [{"_id": made.size}, {"seal": made.size}]})
    found = await problems(own_bank)
    assert f"checkpoint {made.number}: covers {made.size} seals, the journal has {made.size - 1}" in found
