"""A later proof reads what came after an earlier one; what is older is found by a full proof."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from tests.support.bank import CLOSED_PORT, Bank, Person, running_bank

BACKDATED = UUID("0190a1b2-0000-7000-8000-00000000dead")


@dataclass
class Books:
    """A bank whose books were proved once, and in which money was paid since."""

    bank: Bank
    alice: Person
    support: Person
    account: str
    other: str
    unused: str
    old: UUID
    size: int
    """Of the checkpoint at which the proof ended."""
    new: UUID = BACKDATED

    async def pay(self, amount: str) -> UUID:
        answer = await self.alice.transfer(self.account, self.other, amount)
        assert answer.status_code == 201, answer.text
        return UUID(answer.json()["id"])

    async def prove(self, *, full: bool = False) -> dict[str, Any]:
        answer = await self.support.post("/ledger/proof", {"since": None if full else self.size})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def problems(self, *, full: bool = False) -> list[str]:
        """Prove, and require that no more was read than was asked for."""
        proof = await self.prove(full=full)
        assert (proof["since"] is None) is full
        assert proof["holds"] is not bool(proof["mismatches"])
        return [f"{found['id']}: {found['problem']}" for found in proof["mismatches"]]

    async def change(self, record: UUID, **values: object) -> None:
        changed = await self.bank.ledger["journal"].update_one({"_id": record}, {"$set": values})
        assert changed.modified_count == 1


@pytest_asyncio.fixture(loop_scope="session")
async def books(mongo_uri: str) -> AsyncIterator[Books]:
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as bank:
        alice, olga = await bank.person(), await bank.person("Olga", "operator")
        support = await bank.person("Sam", "support")
        account, other, unused = [await alice.open_account() for _ in range(3)]
        assert (await olga.fund(account, "100.00")).status_code == 201
        assert (await olga.fund(unused, "7.00")).status_code == 201
        made = Books(bank, alice, support, account, other, unused, BACKDATED, 0)
        made.old = await made.pay("1.00")
        first = await made.prove(full=True)
        assert first["holds"], first["mismatches"]
        made.size = first["checkpoint"]["size"]
        made.new = await made.pay("2.00")
        assert (await alice.transfer(account, other, "999.00")).status_code == 422
        yield made


async def test_it_says_of_all_books_what_a_full_proof_says(books: Books) -> None:
    later, full = await books.prove(), await books.prove(full=True)
    assert later["since"]["size"] == books.size
    for name in ("holds", "currencies", "accounts", "completed", "failed", "as_of", "outbox_pending"):
        assert later[name] == full[name], name
    assert later["holds"], later["mismatches"]
    assert later["checkpoint"]["size"] == full["checkpoint"]["size"] > books.size
    # The events since then, with those of the very millisecond at which the first proof ended.
    assert 3 == later["events"]["count"] < full["events"]["count"]


async def test_one_goes_on_from_another(books: Books) -> None:
    for amount in ("1.00", "1.50", "2.00"):
        await books.pay(amount)
        proof = await books.prove()
        assert proof["holds"], proof["mismatches"]
        assert proof["since"]["size"] == books.size < proof["checkpoint"]["size"]
        books.size = proof["checkpoint"]["size"]
    full = await books.prove(full=True)
    assert (full["holds"], full["completed"]) == (True, proof["completed"])
    # With nothing new there is nothing to read.
    assert await books.problems() == []


async def test_what_is_older_is_found_by_a_full_proof(books: Books) -> None:
    await books.change(books.old, **{"data.reference": "rent"})
    assert await books.problems() == []
    [found] = await books.problems(full=True)
    assert str(books.old) in found


@pytest.mark.parametrize(
    "values",
    [
        {"data.reference": "rent"},
        {"entries.0.amount": -1},
        {"entries.1.balance": 10**6},
        {"initiator": BACKDATED},
        {"status": "failed"},
    ],
    ids=str,
)
async def test_what_is_newer_is_found_by_both(books: Books, values: dict[str, object]) -> None:
    await books.change(books.new, **values)
    for full in (False, True):
        assert any(str(books.new) in found for found in await books.problems(full=full))


async def test_the_newest_record_removed_is_found_by_both(books: Books) -> None:
    await books.bank.ledger["journal"].delete_one({"_id": books.new})
    for full in (False, True):
        assert any(str(books.new) in found for found in await books.problems(full=full))


@pytest.mark.parametrize(
    "values", [{"owner": BACKDATED}, {"status": "closed"}, {"currency": "USD"}, {"balance": 10**6}], ids=str
)
async def test_an_account_is_found_by_both_however_old_it_is(books: Books, values: dict[str, object]) -> None:
    await books.bank.ledger["accounts"].update_one({"_id": books.unused}, {"$set": values})
    for full in (False, True):
        assert any(found.startswith(books.unused) for found in await books.problems(full=full))


async def test_a_record_added_with_an_old_id_is_found_by_what_it_does(books: Books) -> None:
    """A later proof does not read what stands among the old ones, but what the ledger would go on from."""
    journal = books.bank.ledger["journal"]
    old = await journal.find_one({"kind": "funding", "entries.account": books.unused})
    assert old is not None
    entries = [
        {**entry, "balance": entry["balance"] + 10**6, "sequence": entry["sequence"] + 10**3}
        for entry in old["entries"]
    ]
    await journal.insert_one({**old, "_id": BACKDATED, "idem": b"forged", "entries": entries})
    assert any(f"{books.unused}: its newest entry" in found for found in await books.problems())
    assert any(str(BACKDATED) in found for found in await books.problems(full=True))


@pytest.mark.parametrize("change", ["content", "part", "removed"])
async def test_without_what_was_kept_all_is_read(books: Books, change: str) -> None:
    """A state that was changed vouches for nothing: what it hides is found."""
    states = books.bank.ledger["proven_states"]
    if change == "removed":
        await states.delete_many({})
    else:
        which = {"at": {"$exists": change == "content"}}
        async for found in states.find(which):
            await states.update_one({"_id": found["_id"]}, {"$set": {"content": found["content"] + b"x"}})
    await books.change(books.old, **{"data.reference": "rent"})
    proof = await books.prove()
    assert (proof["since"], proof["holds"]) == (None, False)
    assert str(books.old) in str(proof["mismatches"])


async def test_what_cannot_be_gone_on_from_is_read_from_the_beginning(books: Books) -> None:
    await books.bank.ledger["journal"].update_one(
        {"_id": books.size}, {"$set": {"nodes": b"", "hash": b"x" * 32}}
    )
    proof = await books.prove()
    assert (proof["since"], proof["holds"]) == (None, False)
    assert f"seal {books.size}" in str(proof["mismatches"])


async def test_records_dated_before_the_earlier_proof_are_read_with_all(books: Books) -> None:
    """As after a clock that was ahead: by their times their events would not be among the later ones."""
    journal = books.bank.ledger["journal"]
    await journal.update_one({"_id": books.new}, {"$set": {"at": datetime.now(UTC) - timedelta(days=1)}})
    proof = await books.prove()
    assert (proof["since"], proof["holds"]) == (None, False)


async def test_states_of_the_last_proofs_are_kept_and_no_others(books: Books) -> None:
    for _ in range(10):
        await books.pay("0.01")
        assert (await books.prove(full=True))["holds"]
    states = books.bank.ledger["proven_states"]
    assert await states.count_documents({"at": {"$exists": True}}) == 8
    # The first one is gone.
    proof = await books.prove()
    assert (proof["since"], proof["holds"]) == (None, True)
