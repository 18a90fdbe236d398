"""The trail alone over a real MongoDB: appending, reading, waiting for its turn, and being proved."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from daemons.contracts.errors import TransientError
from daemons.shared.audit import trail as trail_module
from daemons.shared.audit.record import SHELL, Actor, AuditEntry, Head, chained, genesis
from daemons.shared.audit.trail import AuditFilter, MongoAuditTrail, log_act
from daemons.shared.audit.verify import verify_trail
from daemons.shared.mongo import Database, connect, run_transaction

OLGA = Actor(
    user_id=UUID("01a2070b-61e3-72e0-ba0b-3153895d3598"),
    display_name="Olga",
    role="operator",
    address="192.0.2.7",
    request_id="trace-7",
)
FROZEN = AuditEntry(
    at=datetime(2026, 11, 23, 12, tzinfo=UTC),
    actor=OLGA,
    action="freeze",
    target_kind="account",
    target_id="4000000006",
    reason="court order 7",
    before={"status": "active"},
    after={"status": "frozen"},
)
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def database(mongo_uri: str, database_name: str) -> AsyncIterator[Database]:
    async with connect(mongo_uri, daemon="tests") as client:
        yield client[database_name]


@pytest.fixture
async def trail(database: Database) -> MongoAuditTrail:
    trail = MongoAuditTrail(database, chain="banking_api")
    await trail.prepare()
    return trail


async def append(trail: MongoAuditTrail, *entries: AuditEntry) -> None:
    await run_transaction(trail.client, lambda session: trail.append(entries, session=session))


async def seqs(trail: MongoAuditTrail, before: int | None = None, **wanted: Any) -> list[int]:
    page = await trail.page(AuditFilter(**wanted), before=before, limit=100)
    return [record["seq"] for record in page]


async def test_entries_of_one_transaction_follow_one_another_and_those_before(
    trail: MongoAuditTrail,
) -> None:
    assert await trail.head() == genesis("banking_api")
    await append(trail, FROZEN)
    await append(trail, replace(FROZEN, reason="second"), replace(FROZEN, reason="third"))
    await append(trail)
    expected: list[dict[str, Any]] = []
    head = genesis("banking_api")
    for reason in ("court order 7", "second", "third"):
        record, head = chained(replace(FROZEN, reason=reason), head)
        expected.append(record)
    assert [found async for found in trail.snapshot()] == [head, *expected]
    assert await trail.head() == head
    assert (await trail.find(2), await trail.find(4)) == (expected[1], None)
    assert await trail.page(AuditFilter(), before=None, limit=2) == [expected[2], expected[1]]


async def test_records_are_found_by_what_they_hold(trail: MongoAuditTrail) -> None:
    await append(
        trail,
        FROZEN,
        replace(FROZEN, action="unfreeze", at=FROZEN.at + MINUTE),
        replace(FROZEN, actor=SHELL, at=FROZEN.at + 2 * MINUTE),
        replace(FROZEN, target_id="4119038413", at=FROZEN.at + 3 * MINUTE),
    )
    assert await seqs(trail) == [4, 3, 2, 1]
    assert await seqs(trail, before=3) == [2, 1]
    assert await seqs(trail, action="freeze") == [4, 3, 1]
    assert await seqs(trail, actor=str(OLGA.user_id)) == [4, 2, 1]
    assert await seqs(trail, target="4000000006") == [3, 2, 1]
    assert await seqs(trail, since="2026-11-23T12:01:00.000Z") == [4, 3, 2]
    assert await seqs(trail, until="2026-11-23T12:02:00.000Z") == [2, 1]
    both: dict[str, Any] = {"since": "2026-11-23T12:01:00.000Z", "until": "2026-11-23T12:03:00.000Z"}
    assert await seqs(trail, **both) == [3, 2]
    assert await seqs(trail, before=3, action="freeze", **both) == []


async def test_each_way_of_finding_has_an_index(trail: MongoAuditTrail, database: Database) -> None:
    found = await database["audit"].index_information()
    assert {name: list(index["key"]) for name, index in found.items() if name != "_id_"} == {
        "by_target": [("target.id", 1), ("_id", -1)],
        "by_actor": [("actor.user_id", 1), ("_id", -1)],
        "by_action": [("action", 1), ("_id", -1)],
        "by_time": [("at", 1)],
    }


async def test_nothing_is_appended_before_the_trail_is_prepared_or_after_its_head_is_gone(
    database: Database,
) -> None:
    trail = MongoAuditTrail(database, chain="banking_api")
    with pytest.raises(TransientError) as starting:
        await append(trail, FROZEN)
    assert (starting.value.code, starting.value.retry_after_seconds) == ("unavailable", 1)
    for _ in range(2):
        await trail.prepare()
    await append(trail, FROZEN)
    await database["audit_head"].delete_many({})
    with pytest.raises(RuntimeError, match="lost its head"):
        await append(trail, FROZEN)
    # A daemon that starts anew beside records makes no new head either.
    await trail.prepare()
    assert await trail.head() is None
    assert await seqs(trail) == [1]
    verdict = await verify_trail(trail)
    assert [(fault.seq, fault.problem) for fault in verdict.faults] == [(0, "the head is missing")]


async def test_a_transaction_that_is_undone_leaves_no_record(trail: MongoAuditTrail) -> None:
    async def undone(session: Any) -> None:
        await trail.append([FROZEN], session=session)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run_transaction(trail.client, undone)
    assert await seqs(trail) == []
    assert await trail.head() == genesis("banking_api")
    await append(trail, FROZEN)
    assert await seqs(trail) == [1]


async def test_turns_are_taken_one_by_one_and_waited_for_a_while_only(
    trail: MongoAuditTrail, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []
    entered = asyncio.Event()
    go_on = asyncio.Event()

    async def first() -> None:
        async with trail.turn():
            entered.set()
            await go_on.wait()
            taken.append("first")

    async def second() -> None:
        async with trail.turn():
            taken.append("second")

    one = asyncio.create_task(first())
    await entered.wait()
    monkeypatch.setattr(trail_module, "TRANSACTION_TIMEOUT_SECONDS", 0.01)
    with pytest.raises(TransientError) as overloaded:
        await second()
    assert (overloaded.value.code, overloaded.value.retry_after_seconds) == ("overloaded", 1)
    monkeypatch.undo()
    other = asyncio.create_task(second())
    go_on.set()
    await asyncio.gather(one, other)
    assert taken == ["first", "second"]
    with pytest.raises(ZeroDivisionError):
        async with trail.turn():
            raise ZeroDivisionError
    await second()


@pytest.mark.parametrize(
    ("actor", "named"), [(OLGA, "01a2070b-61e3-72e0-ba0b-3153895d3598"), (SHELL, "the server's shell")]
)
def test_the_log_has_who_did_what_why_and_from_where(actor: Actor, named: str) -> None:
    with capture_logs() as logs:
        log_act(replace(FROZEN, actor=actor))
    assert logs == [
        {
            "event": "administrative act",
            "log_level": "info",
            "action": "freeze",
            "actor": named,
            "target": "account 4000000006",
            "reason": "court order 7",
            "request_id": actor.request_id,
            "address": actor.address,
        }
    ]


Faults = list[tuple[int, str]]
CHANGED = "was changed: its hash is not that of its content"
NO_RECORD = "is in the trail but is not one of its records"


async def faults(trail: MongoAuditTrail, anchor: Head | None = None) -> Faults:
    verdict = await verify_trail(trail, anchor=anchor)
    assert verdict.holds is (verdict.fault_count == 0)
    return [(fault.seq, fault.problem) for fault in verdict.faults]


async def test_each_fault_is_told_with_its_record(trail: MongoAuditTrail, database: Database) -> None:
    await append(trail, *[replace(FROZEN, reason=str(number)) for number in range(1, 7)])
    kept = [document async for document in database["audit"].find().sort("_id")]
    head = await trail.head()
    assert head is not None
    assert head.count == 6

    async def found(changed: dict[int, dict[str, Any] | None], **new_head: Any) -> Faults:
        documents = [changed.get(one["_id"], one) for one in kept]
        added = [one for seq, one in changed.items() if seq > len(kept)]
        await database["audit"].delete_many({})
        await database["audit"].insert_many([one for one in [*documents, *added] if one is not None])
        await database["audit_head"].update_one({}, {"$set": {"count": 6, "hash": head.hash, **new_head}})
        return await faults(trail)

    assert await found({}) == []
    assert await found({3: {**kept[2], "reason": "x"}}) == [(3, CHANGED)]
    assert await found({3: {**kept[2], "reason": b"x"}}) == [(3, CHANGED)]
    assert await found({3: {**kept[2], "after": {"amount": float("nan")}}}) == [(3, CHANGED)]
    assert await found({3: {**kept[2], "previous_hash": "x"}}) == [
        (3, "does not follow the record before it"),
        (3, CHANGED),
    ]
    assert await found({3: None}) == [(3, "record 3 is missing")]
    assert await found({1: None, 2: None}) == [(1, "records 1 to 2 are missing")]
    assert await found({3: {**kept[2], "hash": 7}}) == [
        (3, NO_RECORD),
        (3, "record 3 is missing"),
    ]
    for seq in (True, "3", 0, 2):
        assert await found({3: {**kept[2], "seq": seq}}) == [(3, NO_RECORD), (3, "record 3 is missing")], seq
    assert await found({6: None}) == [(0, "the head counts 6 records, the last one is 5")]
    assert await found({}, count=7) == [(0, "the head counts 7 records, the last one is 6")]
    assert await found({}, hash="x") == [(0, "the head has another hash than the last record")]


async def test_the_trail_is_proved_as_of_one_moment_and_in_the_order_of_its_numbers(
    trail: MongoAuditTrail, database: Database
) -> None:
    await append(trail, FROZEN, FROZEN)
    moment = trail.snapshot()
    head = await anext(moment)
    await append(trail, FROZEN)
    found = [record async for record in moment]
    assert isinstance(head, Head)
    assert [record["seq"] for record in found if isinstance(record, dict)] == [1, 2]
    assert (head.count, await seqs(trail)) == (2, [3, 2, 1])
    # Restored from a copy, and so behind the others where nobody sorts.
    first = await database["audit"].find_one_and_delete({"_id": 1})
    assert first is not None
    await database["audit"].insert_one(first)
    assert await faults(trail) == []


async def test_an_anchor_shows_what_was_cut_or_written_anew(
    trail: MongoAuditTrail, database: Database
) -> None:
    first = genesis("banking_api")
    assert await faults(trail, first) == []
    other = genesis("user_api")
    assert await faults(trail, other) == [(0, "the anchor is of another trail")]
    await append(trail, *[replace(FROZEN, reason=str(number)) for number in range(1, 4)])
    records = await trail.page(AuditFilter(), before=None, limit=3)
    anchors = [Head(record["seq"], record["hash"]) for record in reversed(records)]
    for anchor in (first, *anchors):
        assert await faults(trail, anchor) == []
    assert await faults(trail, Head(2, anchors[0].hash)) == [
        (2, "is another record than the one that was anchored")
    ]
    assert await faults(trail, Head(4, anchors[2].hash)) == [
        (0, "the trail ends before record 4, which was anchored")
    ]
    assert (await verify_trail(trail)).head == anchors[2]


async def test_of_many_faults_fifty_are_shown_and_all_are_counted(
    trail: MongoAuditTrail, database: Database
) -> None:
    await append(trail, *[FROZEN] * 52)
    await database["audit"].update_many({}, {"$set": {"reason": "x"}})
    verdict = await verify_trail(trail)
    assert (verdict.fault_count, len(verdict.faults), verdict.faults[-1].seq) == (52, 50, 50)
