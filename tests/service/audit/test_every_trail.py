"""No trail can be changed unseen, whichever daemon keeps it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from daemons.shared.mongo import Database
from tests.support.chains import Chain

Tamper = Callable[[Database], Awaitable[Any]]


async def _remove_and_renumber(kept: Database) -> None:
    await kept["audit"].delete_one({"_id": 3})
    for seq in (4, 5, 6):
        moved = await kept["audit"].find_one_and_delete({"_id": seq})
        assert moved is not None
        await kept["audit"].insert_one({**moved, "_id": seq - 1})
    await kept["audit_head"].update_one({}, {"$set": {"count": 5}})


async def _swap(kept: Database) -> None:
    one = await kept["audit"].find_one_and_delete({"_id": 3})
    other = await kept["audit"].find_one_and_delete({"_id": 4})
    assert one is not None
    assert other is not None
    await kept["audit"].insert_many([{**one, "_id": 4}, {**other, "_id": 3}])


def _set(seq: int, **fields: Any) -> Tamper:
    return lambda kept: kept["audit"].update_one({"_id": seq}, {"$set": fields})


@pytest.mark.parametrize(
    ("tamper", "problem"),
    [
        (_set(3, **{"actor.display_name": "Olgb"}), "was changed"),
        (_set(3, reason="x"), "was changed"),
        (_set(3, **{"after.amount": "1.01"}), "was changed"),
        (_set(3, at="2026-11-23T05:34:42.124Z"), "was changed"),
        (_set(3, hash="0" * 64), "was changed"),
        (_set(3, previous_hash="0" * 64), "does not follow"),
        (_set(3, more=None), "was changed"),
        (lambda kept: kept["audit"].update_one({"_id": 3}, {"$set": {"seq": 9}}), "are missing"),
        (_set(3, hash=None), "is not one of its records"),
        (lambda kept: kept["audit"].update_one({"_id": 3}, {"$unset": {"reason": 1}}), "was changed"),
        (lambda kept: kept["audit"].delete_one({"_id": 1}), "record 1 is missing"),
        (lambda kept: kept["audit"].delete_one({"_id": 3}), "record 3 is missing"),
        (lambda kept: kept["audit"].delete_many({"_id": {"$in": [3, 4]}}), "records 3 to 4 are"),
        (lambda kept: kept["audit"].delete_one({"_id": 6}), "the head counts 6 records"),
        (lambda kept: kept["audit"].delete_many({}), "the head counts 6 records"),
        (lambda kept: kept["audit"].insert_one({"_id": 7, "hash": "a" * 64}), "was changed"),
        (lambda kept: kept["audit"].insert_one({"_id": "x"}), "is not one of its records"),
        (lambda kept: kept["audit_head"].delete_many({}), "the head is missing"),
        (
            lambda kept: kept["audit_head"].update_one({}, {"$set": {"hash": "a" * 64}}),
            "the head has another hash",
        ),
        (_remove_and_renumber, "was changed"),
        (_swap, "was changed"),
    ],
)
async def test_what_was_tampered_with_is_found(chain: Chain, tamper: Tamper, problem: str) -> None:
    await chain.grow(6)
    assert (await chain.proof())["holds"] is True
    await tamper(chain.database)
    found = await chain.proof()
    assert found["holds"] is False
    assert any(problem in fault["problem"] for fault in found["faults"]), found["faults"]
    assert (await chain.ask("")).status_code in {200, 409}


async def test_a_trail_rewritten_with_its_head_is_found_by_the_anchor(chain: Chain) -> None:
    await chain.grow(4)
    head = (await chain.proof())["head"]
    anchor = f"?count={head['count']}&hash={head['hash']}"
    assert (await chain.proof(anchor))["anchored"] is True
    await chain.grow(1)
    later = await chain.proof(anchor)
    assert (later["holds"], later["head"]["count"]) == (True, 5)

    trail, heads = chain.database["audit"], chain.database["audit_head"]
    await trail.delete_many({"_id": {"$gt": 3}})
    third = await trail.find_one({"_id": 3})
    assert third is not None
    await heads.update_one({}, {"$set": {"count": 3, "hash": third["hash"]}})
    assert (await chain.proof())["holds"] is True
    cut = await chain.proof(anchor)
    assert (cut["holds"], cut["faults"][0]["problem"]) == (
        False,
        "the trail ends before record 4, which was anchored",
    )

    await chain.grow(1)
    assert (await chain.proof())["holds"] is True
    rewritten = await chain.proof(anchor)
    assert rewritten["faults"] == [{"seq": 4, "problem": "is another record than the one that was anchored"}]
    empty = await chain.proof(f"?count=0&hash={'a' * 64}")
    assert empty["faults"] == [{"seq": 0, "problem": "the anchor is of another trail"}]


async def test_acts_at_the_same_time_follow_one_another(chain: Chain) -> None:
    await asyncio.gather(*(chain.grow(1) for _ in range(12)))
    found = (await chain.ask("?limit=200")).json()["items"]
    assert [record["seq"] for record in found] == list(range(12, 0, -1))
    proof = await chain.proof()
    assert (proof["holds"], proof["head"]) == (True, {"count": 12, "hash": found[0]["hash"]})
