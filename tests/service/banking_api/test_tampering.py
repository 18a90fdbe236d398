"""What is changed in the ledger's database by hand is named by the proof."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from daemons.banking_api.ledger.seal import GENESIS, seal
from daemons.shared.ids import new_id
from tests.support.bank import CLOSED_PORT, Bank, Person, running_bank

Tampering = Callable[[Any, dict[str, Any]], Awaitable[object]]
"""Receives the journal's collection and the record that it changes; returns nothing of use."""


@dataclass(frozen=True)
class Books:
    """A bank whose books hold; its journal, an operator, and a transfer in the middle of its history."""

    bank: Bank
    operator: Person
    record: dict[str, Any]

    @property
    def journal(self) -> Any:
        return self.bank.ledger["journal"]


@pytest_asyncio.fixture(scope="module")
async def written(mongo_uri: str) -> AsyncIterator[Books]:
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT) as bank:
        alice, operator = await bank.person(), await bank.person("Olga", "operator")
        sender, receiver = await alice.open_account(), await alice.open_account()
        await operator.fund(sender, "10.00")
        done = await alice.transfer(sender, receiver, "3.00")
        assert done.status_code == 201, done.text
        await alice.transfer(sender, receiver, "99.00")
        await operator.fund(receiver, "1.00")
        record = await bank.ledger["journal"].find_one({"_id": UUID(done.json()["id"])})
        assert record is not None
        yield Books(bank, operator, record)


@pytest_asyncio.fixture
async def books(written: Books) -> AsyncIterator[Books]:
    """The same books for each test, which hold before it and, put back, after it."""
    assert await problems(written.operator) == []
    before = [document async for document in written.journal.find()]
    yield written
    await written.journal.delete_many({})
    await written.journal.insert_many(before)
    assert await problems(written.operator) == []


async def problems(operator: Person) -> list[str]:
    answer = await operator.get("/ledger/proof")
    assert answer.status_code == 200, answer.text
    proof = answer.json()
    assert proof["holds"] is not bool(proof["mismatches"])
    return [f"{found['id']}: {found['problem']}" for found in proof["mismatches"]]


def setting(**fields: object) -> Tampering:
    changes = {name.replace("__", "."): value for name, value in fields.items()}
    return lambda journal, record: journal.update_one({"_id": record["_id"]}, {"$set": changes})


@pytest.mark.parametrize(
    "tampering",
    [
        setting(entries__0__amount=-1),
        setting(entries__0__owner=new_id()),
        setting(entries__0__balance=10**6),
        setting(entries__0__sequence=77),
        setting(entries__0__amount="3"),
        setting(initiator=new_id()),
        setting(kind="funding"),
        setting(status="failed"),
        setting(at=GENESIS.hash),
        setting(fingerprint=b"x" * 32),
        setting(idem=b"x" * 32),
        setting(data__reference="rent"),
        setting(data__to="4000000006"),
        setting(failure={"code": "insufficient_funds", "detail": "no"}),
        setting(note="looks harmless"),
        lambda journal, record: journal.update_one({"_id": record["_id"]}, {"$unset": {"entries": 1}}),
        lambda journal, record: journal.update_one({"_id": record["_id"]}, {"$unset": {"data": 1}}),
        lambda journal, record: journal.delete_one({"_id": record["_id"]}),
    ],
)
async def test_a_record_that_was_changed_is_named(books: Books, tampering: Tampering) -> None:
    record = books.record
    await tampering(books.journal, record)
    assert any(str(record["_id"]) in problem for problem in await problems(books.operator))


async def test_a_failed_attempt_whose_reason_was_changed_is_named(books: Books) -> None:
    failed = await books.journal.find_one({"status": "failed"})
    assert failed is not None
    await books.journal.update_one({"_id": failed["_id"]}, {"$set": {"failure.code": "frozen"}})
    assert any(str(failed["_id"]) in problem for problem in await problems(books.operator))


async def test_a_whole_consistent_funding_that_nobody_booked_is_named(books: Books) -> None:
    """Entries, balances and numbers are right and sum to zero; only the seal tells."""
    journal = books.journal
    fundings = await journal.find({"kind": "funding"}).sort("_id", -1).to_list(1)
    newest = fundings[0]
    forged = {
        **newest,
        "_id": new_id(),
        "idem": b"forged" * 5,
        "entries": [
            {**entry, "balance": entry["balance"] + entry["amount"], "sequence": entry["sequence"] + 1}
            for entry in newest["entries"]
        ],
    }
    await journal.insert_one(forged)
    assert f"{forged['_id']}: is in the journal and in no seal" in await problems(books.operator)


@pytest.mark.parametrize("field", ["previous", "root", "hash", "records", "at", "ids", "nodes"])
async def test_a_seal_that_was_changed_is_named(books: Books, field: str) -> None:
    value = {"records": 7, "at": None}.get(field, b"x" * 32)
    await books.journal.update_one({"_id": 2}, {"$set": {field: value}})
    assert any(problem.startswith("seal 2: ") for problem in await problems(books.operator))


async def test_a_seal_that_was_removed_is_named(books: Books) -> None:
    await books.journal.delete_one({"_id": 2})
    assert "seal 3: follows seal 1: what was between is missing" in await problems(books.operator)


async def test_a_group_rewritten_with_its_seal_is_named(books: Books) -> None:
    journal = books.journal
    second = await journal.find_one({"_id": 2})
    assert second is not None
    [id_] = [UUID(bytes=bytes(second["ids"]))]
    await journal.update_one({"_id": id_}, {"$set": {"data.reason": "rewritten"}})
    forged = seal([b"anything"], GENESIS, at=second["at"])
    await journal.update_one({"_id": 2}, {"$set": {"root": forged.root, "hash": forged.hash}})
    found = await problems(books.operator)
    assert any(problem.startswith("seal 2: ") for problem in found)
    assert any(problem.startswith("seal 3: does not follow") for problem in found)


async def test_what_is_neither_record_nor_seal_is_named(books: Books) -> None:
    await books.journal.insert_one({"_id": "a stranger", "entries": []})
    await books.journal.insert_one({"_id": -3, "kind": "seal"})
    found = await problems(books.operator)
    for name in ("a stranger", "-3"):
        assert f"{name}: is in the journal and is neither a record nor a seal" in found
