"""Replays, resumptions and refusals stand in the notifier's trail, in the transaction of the act itself."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import pytest
from structlog.testing import capture_logs

from daemons.contracts.errors import TransientError
from daemons.contracts.permissions import Role
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.shared.audit.record import AuditEntry
from daemons.shared.audit.trail import MongoAuditTrail
from daemons.shared.clock import utc_now
from daemons.shared.kafka.records import IncomingRecord
from daemons.shared.mongo import Database, Session
from tests.support.events import incoming
from tests.support.notifier import NO_BROKER, Notifier, PlayedUserApi, recorder_on, running_here

Record = dict[str, Any]
_VERSION = "ce_specversion"
# What an act on dead letters may write.
_WRITTEN = ("dead_letters", "intake", "events", "notifications", "audit", "audit_head")


def spoiled(record: IncomingRecord) -> IncomingRecord:
    return replace(record, headers={**record.headers, _VERSION: b"0.9"})


async def mend(database: Database, **query: object) -> None:
    """Do to the letters what a release that reads them would do to their reading."""
    mended = {"$set": {"headers.$[version].value": b"1.0"}}
    await database["dead_letters"].update_many(query, mended, array_filters=[{"version.name": _VERSION}])


async def trail(database: Database) -> list[Record]:
    return await database["audit"].find().sort("_id").to_list()


async def stored(database: Database) -> dict[str, list[Record]]:
    return {name: await database[name].find().sort("_id").to_list() for name in _WRITTEN}


@pytest.fixture
def operator(notifier: Notifier) -> Notifier:
    return notifier.as_role(Role.OPERATOR)


async def letter_ids(notifier: Notifier) -> list[str]:
    """The open letters, oldest first."""
    items = (await notifier.get("/dead-letters", status="open", limit=200)).json()["items"]
    return sorted(item["id"] for item in items)


async def test_a_replay_tells_who_which_letter_and_what_came_of_it(
    operator: Notifier, recorder: EventRecorder, notifier_database: Database
) -> None:
    await recorder.record_events([spoiled(record) for record in incoming(1)])
    [letter] = await letter_ids(operator)
    path = f"/dead-letters/{letter}/replay"
    await operator.post(path)
    await mend(notifier_database)
    with capture_logs() as logs:
        await operator.post(path)
    # A letter that was replayed stays as it is, so this is no act.
    await operator.post(path)
    still, done = await trail(notifier_database)
    assert (still["action"], still["before"]) == ("replay_dead_letters", {"open": 1})
    results = {"recorded": [], "already_recorded": [], "undecodable": []}
    assert still["after"] == {"open": 1, **results, "undecodable": [letter]}
    assert done["after"] == {"open": 0, **results, "recorded": [letter]}
    assert {record["target"]["kind"] for record in (still, done)} == {"dead_letter"}
    assert {record["target"]["id"] for record in (still, done)} == {letter}
    assert (done["actor"]["display_name"], done["actor"]["role"]) == ("Sam", "operator")
    assert (done["address"], done["reason"]) == ("127.0.0.1", None)
    [logged] = [entry for entry in logs if entry["event"] == "administrative act"]
    assert (logged["action"], logged["request_id"]) == ("replay_dead_letters", done["request_id"])


async def test_a_step_of_many_has_one_record_that_names_each_letter(
    operator: Notifier, notifier_database: Database
) -> None:
    records = incoming(230)
    recorder = recorder_on(notifier_database, letters=1000)
    await recorder.record_events([*(spoiled(record) for record in records), records[2]])
    ids = sorted(
        str(document["_id"]) for document in await notifier_database["dead_letters"].find().to_list()
    )
    await mend(notifier_database, offset={"$ne": 1})
    after = None
    for _ in range(2):
        done = (await operator.post("/dead-letters/replay", {"after": after})).json()
        after = done["last"]
    first, second = await trail(notifier_database)
    assert first["target"] == {"kind": "dead_letters", "id": "all topics"}
    assert (first["before"]["open"], second["before"]["open"]) == (200, 30)
    told = first["after"]["recorded"], first["after"]["already_recorded"], first["after"]["undecodable"]
    assert [len(letters) for letters in told] == [198, 1, 1]
    assert sorted(chain.from_iterable(told)) == ids[:200]
    assert second["after"]["recorded"] == ids[200:]
    [unreadable] = told[2]
    topic = records[1].topic
    await operator.post("/dead-letters/replay", {"topic": topic})
    last = (await trail(notifier_database))[-1]
    assert (last["target"]["id"], last["after"]["undecodable"]) == (topic, [unreadable])
    # Nothing is left open in that topic behind it, so this is no act.
    await operator.post("/dead-letters/replay", {"topic": topic, "after": unreadable})
    assert len(await trail(notifier_database)) == 3
    assert (await operator.get("/audit/events/proof")).json()["holds"] is True


async def test_a_resumption_tells_the_intake_before_and_after(
    operator: Notifier, notifier_database: Database
) -> None:
    recorder = recorder_on(notifier_database, letters=2)
    with pytest.raises(TransientError, match="limit of 2"):
        await recorder.record_events([spoiled(record) for record in incoming(3)])
    assert (await operator.post("/dead-letters/resume", {"reason": "they are a test's"})).status_code == 200
    [told] = await trail(notifier_database)
    assert (told["action"], told["reason"]) == ("resume_dead_letters", "they are a test's")
    assert told["target"] == {"kind": "intake", "id": "dead letters"}
    before, after = told["before"], told["after"]
    assert (before["open"], before["kept"]) == (False, 2)
    assert before["closed_at"] is not None
    assert "offset 2: header ce_specversion is not 1.0" in before["closed_by"]
    assert after == {"open": True, "kept": 0, "since": None, "closed_at": None, "closed_by": None}


async def test_many_who_replay_and_resume_at_once_make_one_chain_and_one_record_for_each_act(
    mongo_uri: str, users: tuple[PlayedUserApi, str], operator: Notifier, notifier_database: Database
) -> None:
    await recorder_on(notifier_database, letters=50).record_events([spoiled(one) for one in incoming(20)])
    await mend(notifier_database)
    ids = await letter_ids(operator)
    async with running_here(mongo_uri, notifier_database.name, users, broker=NO_BROKER) as other:
        others = other.as_role(Role.OPERATOR)
        answers = await asyncio.gather(
            *(one.post(f"/dead-letters/{letter}/replay") for letter in ids for one in (operator, others)),
            *(one.post("/dead-letters/resume", {"reason": "seen"}) for one in (operator, others)),
        )
    assert {answer.status_code for answer in answers} == {200}
    told = await trail(notifier_database)
    replayed = [letter for record in told for letter in (record["after"].get("recorded") or ())]
    # Of two that replay a letter one has done it; the other's transaction, record included, was undone.
    assert sorted(replayed) == ids
    assert [record["_id"] for record in told] == list(range(1, 23))
    assert (await operator.get("/audit/events/proof")).json()["holds"] is True


# A validator that nothing satisfies makes MongoDB refuse the collection's writes from inside.
@pytest.mark.parametrize("refuses", ["audit", "audit_head", "dead_letters", "intake"])
async def test_an_act_and_its_record_are_written_together_or_not_at_all(
    operator: Notifier, recorder: EventRecorder, notifier_database: Database, refuses: str
) -> None:
    await recorder.record_events([spoiled(record) for record in incoming(3)])
    await operator.post("/dead-letters/resume", {"reason": "seen"})
    await mend(notifier_database)
    [one, *_] = await letter_ids(operator)
    before = await stored(notifier_database)
    impossible = {"$expr": {"$eq": [1, 2]}}
    await notifier_database.command("collMod", refuses, validator=impossible)
    acts = {
        "replay": (f"/dead-letters/{one}/replay", None),
        "replay many": ("/dead-letters/replay", {}),
        "resume": ("/dead-letters/resume", {"reason": "again"}),
    }
    spared = {"dead_letters": {"resume"}, "intake": {"replay", "replay many"}}.get(refuses, set())
    for name in acts.keys() - spared:
        answer = await operator.post(*acts[name])
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable"), name
        assert await stored(notifier_database) == before, name
    await notifier_database.command("collMod", refuses, validator={})
    for path, body in acts.values():
        assert (await operator.post(path, body)).status_code == 200
    assert len(await trail(notifier_database)) == len(before["audit"]) + 3
    assert (await operator.get("/audit/events/proof")).json()["holds"] is True


async def test_what_fails_after_both_are_written_undoes_both(
    operator: Notifier,
    recorder: EventRecorder,
    notifier_database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await recorder.record_events([spoiled(record) for record in incoming(3)])
    await operator.post("/dead-letters/resume", {"reason": "seen"})
    await mend(notifier_database)
    [one, *_] = await letter_ids(operator)
    before = await stored(notifier_database)

    append = MongoAuditTrail.append

    async def write_and_fail(
        self: MongoAuditTrail, entries: Sequence[AuditEntry], *, session: Session
    ) -> None:
        await append(self, entries, session=session)
        raise TransientError("unavailable", "Planted.")

    # The last that is written before the commit.
    monkeypatch.setattr(MongoAuditTrail, "append", write_and_fail)
    for path, body in (
        (f"/dead-letters/{one}/replay", None),
        ("/dead-letters/replay", {}),
        ("/dead-letters/resume", {"reason": "again"}),
    ):
        answer = await operator.post(path, body)
        assert (answer.status_code, answer.json()["detail"]) == (503, "Planted.")
        assert await stored(notifier_database) == before, path


async def test_nothing_is_done_that_cannot_be_recorded(
    operator: Notifier, recorder: EventRecorder, notifier_database: Database
) -> None:
    await recorder.record_events([spoiled(record) for record in incoming(2)])
    await operator.post("/dead-letters/resume", {"reason": "seen"})
    await mend(notifier_database)
    [one, _] = await letter_ids(operator)
    await notifier_database["audit_head"].delete_many({})
    before = await stored(notifier_database)
    for path, body in (
        (f"/dead-letters/{one}/replay", None),
        ("/dead-letters/replay", {}),
        ("/dead-letters/resume", {"reason": "again"}),
    ):
        answer = await operator.post(path, body)
        assert answer.status_code >= 500
        assert "audit" not in answer.text
    # Nor is anybody refused unrecorded.
    assert (await operator.as_role(Role.USER).get("/dead-letters")).status_code >= 500
    assert await stored(notifier_database) == before


async def test_a_trail_that_is_not_there_yet_is_waited_for(notifier_database: Database) -> None:
    """Whoever calls in the moment before the schema is made is told to come again, not that it is broken."""
    starting = MongoAuditTrail(notifier_database.client["nowhere"], chain="notifier")
    async with notifier_database.client.start_session() as session, await session.start_transaction():
        with pytest.raises(TransientError, match="still starting"):
            await starting.append([object()], session=session)  # type: ignore[list-item]  # never looked at


async def test_refusals_are_told_within_their_budget(
    mongo_uri: str, users: tuple[PlayedUserApi, str], notifier_database: Database
) -> None:
    began, ahead = utc_now(), timedelta()

    def clock() -> datetime:
        return began + ahead

    running = running_here(mongo_uri, notifier_database.name, users, broker=NO_BROKER, clock=clock)
    async with running as support:
        user = support.as_role(Role.USER)
        for _ in range(5):
            assert (await user.get("/events/history")).status_code == 403
        assert (await support.post("/dead-letters/resume", {"reason": "x"})).status_code == 403
        assert (await support.post("/dead-letters/x/replay")).status_code == 403
        history, resume, replay = await trail(notifier_database)
        assert {record["action"] for record in (history, resume, replay)} == {"access.refused"}
        assert history["target"] == {"kind": "route", "id": "GET /events/history"}
        assert (history["actor"]["role"], history["reason"]) == ("user", "forbidden")
        assert resume["after"] == {"path": "/dead-letters/resume", "others_left_out": 4}
        assert replay["after"]["path"] == "/dead-letters/x/replay"

        # Sixty a minute in all, whoever and however many they are; then the next one counts the rest.
        for _ in range(70):
            assert (await support.as_role(Role.USER).get("/dead-letters")).status_code == 403
        assert len(await trail(notifier_database)) == 60
        ahead = timedelta(minutes=1)
        await user.get("/events/history")
        *_, last = await trail(notifier_database)
        assert (last["_id"], last["after"]["others_left_out"]) == (61, 13)
        assert (await support.get("/audit/events", action="access.refused")).json()["items"][0]["seq"] == 61
