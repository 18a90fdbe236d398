"""Dead letters on a real MongoDB and a real Kafka: bounded, shown, replayed once."""

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from daemons.contracts.errors import TransientError
from daemons.contracts.names import EventType
from daemons.contracts.permissions import Role
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.notifier.dead_letters.storage import MongoDeadLetters
from daemons.shared.clock import utc_now
from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.kafka.producer import EventProducer
from daemons.shared.kafka.records import IncomingRecord, OutgoingRecord
from daemons.shared.kafka.topics import ensure_topics
from daemons.shared.mongo import Database, connect
from tests.support.events import ids_of, incoming, transfers
from tests.support.notifier import (
    NO_BROKER,
    Notifier,
    PlayedUserApi,
    notifier_process,
    recorder_on,
    running_here,
)
from tests.support.waiting import eventually

_VERSION = "ce_specversion"


def spoiled(record: IncomingRecord) -> IncomingRecord:
    """A record that a faulty release wrote; `mended` is what it should have been."""
    return replace(record, headers={**record.headers, _VERSION: b"0.9"})


async def mend(database: Database) -> None:
    """Do to the letters what a release that reads them would do to their reading."""
    await database["dead_letters"].update_many(
        {}, {"$set": {"headers.$[version].value": b"1.0"}}, array_filters=[{"version.name": _VERSION}]
    )


async def _count(database: Database, collection: str, **query: object) -> int:
    return await database[collection].count_documents(query)


async def test_past_the_limit_nothing_is_set_aside_until_somebody_has_looked(
    notifier_database: Database,
) -> None:
    recorder = recorder_on(notifier_database, letters=3)
    records = incoming(8)
    poison = [spoiled(record) for record in records[:5]]
    batch = [*poison, *records[5:]]
    for _ in range(3):
        with pytest.raises(TransientError, match="limit of 3 dead letters"):
            await recorder.record_events(batch)
    assert await _count(notifier_database, "dead_letters") == 3
    assert await _count(notifier_database, "events") == 3

    letters = MongoDeadLetters(notifier_database)
    closed = await letters.intake()
    assert closed.closed_by is not None
    assert "offset 3: header ce_specversion is not 1.0" in closed.closed_by
    # Another process, or this one started anew, finds it closed as well.
    with pytest.raises(TransientError):
        await recorder_on(notifier_database, letters=3).record_events(batch)

    await letters.reopen(by={"display_name": "Olga"}, at=utc_now(), reason="seen")
    await recorder.record_events(batch)
    assert await _count(notifier_database, "dead_letters") == 5
    assert (await letters.intake()).kept == 2


async def test_another_bad_record_at_the_same_place_is_another_letter(notifier_database: Database) -> None:
    """A topic that was made anew begins at the same offsets; its record used to count as kept already."""
    recorder = recorder_on(notifier_database, letters=9)
    first, *others = [spoiled(record) for record in incoming(4)]
    alike = [
        replace(first, value=b"another"),
        replace(first, value=None),
        replace(first, value=b""),
        replace(first, key=b"another"),
        replace(first, headers={**first.headers, "ce_id": b"another"}),
        replace(first, headers={**first.headers, "more": b""}),
    ]
    for batch in ([first], [first, *alike, first], [*reversed(alike), first]):
        await recorder.record_events(batch)
        kept = await notifier_database["dead_letters"].find().sort("_id", 1).to_list()
        assert [letter["value"] for letter in kept[:1]] == [first.value]
    assert len(kept) == 1 + len(alike)
    assert {(letter["topic"], letter["partition"], letter["offset"]) for letter in kept} == {
        (first.topic, first.partition, first.offset)
    }
    # The record of another place with the same content is another one, too.
    await recorder.record_events([replace(first, offset=others[0].offset)])
    assert await _count(notifier_database, "dead_letters") == 2 + len(alike)


async def test_records_that_can_be_decoded_after_all_go_on_by_themselves(notifier_database: Database) -> None:
    recorder = recorder_on(notifier_database, letters=0)
    records = incoming(3)
    with pytest.raises(TransientError):
        await recorder.record_events([spoiled(record) for record in records])
    await recorder.record_events(records)
    assert await _count(notifier_database, "events") == 3
    assert await _count(notifier_database, "dead_letters") == 0


async def test_processes_count_together(mongo_uri: str, notifier_database: Database) -> None:
    records = [spoiled(record) for record in incoming(60)]

    async def record(share: list[IncomingRecord]) -> bool:
        client = connect(mongo_uri, daemon="tests")
        recorder = recorder_on(client[notifier_database.name], letters=25)
        try:
            for _ in range(50):
                try:
                    await recorder.record_events(share)
                except TransientError as error:
                    if "limit of 25" in error.message:
                        return True
                else:
                    return False
            raise AssertionError("contended for ever")
        finally:
            await client.close()

    stopped = await asyncio.gather(*(record(records[start : start + 20]) for start in (0, 20, 40)))
    assert any(stopped)
    assert await _count(notifier_database, "dead_letters") == 25


async def _letters_of(notifier: Notifier, **params: str | int) -> list[dict[str, object]]:
    answer = await notifier.get("/dead-letters", **params)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def test_letters_are_listed_page_by_page_and_shown_whole(
    notifier: Notifier, recorder: EventRecorder
) -> None:
    records = incoming(5)
    odd = replace(
        records[4], topic="TransactionFailed", value=b"\xff\x00", key=None, headers={"$x": b"\x1b[2J"}
    )
    await recorder.record_events([*(spoiled(record) for record in records[:4]), odd])
    first = (await notifier.get("/dead-letters", limit=3)).json()
    rest = (await notifier.get("/dead-letters", limit=3, cursor=first["next_cursor"])).json()
    assert [letter["offset"] for letter in first["items"] + rest["items"]] == [4, 3, 2, 1, 0]
    assert rest["next_cursor"] is None
    assert first["intake"]["open"] is True
    assert first["intake"]["kept"] == 5
    [failed] = await _letters_of(notifier, topic="TransactionFailed", status="open")
    shown = (await notifier.get(f"/dead-letters/{failed['id']}")).json()
    assert shown["value"] == {"size": 2, "text": None, "base64": "/wA="}
    assert shown["headers"] == [{"name": "$x", "value": {"size": 4, "text": "\x1b[2J", "base64": "G1sySg=="}}]
    assert shown["key"] is None
    for path in (f"/dead-letters/{uuid4()}", "/dead-letters/x"):
        missing = await notifier.get(path)
        assert (missing.status_code, missing.json()["code"]) == (404, "dead_letter_not_found")
    for params in ({"topic": "Nothing"}, {"status": "gone"}, {"limit": 0}):
        assert (await notifier.get("/dead-letters", **params)).status_code == 422
    assert (await notifier.get("/dead-letters", cursor="AAAA")).status_code == 400


async def test_a_replayed_letter_has_its_effect_once_and_keeps_who_did_it(
    notifier: Notifier, recorder: EventRecorder, notifier_database: Database
) -> None:
    [record] = incoming(1)
    await recorder.record_events([spoiled(record)])
    [letter] = await _letters_of(notifier)
    path, operator = f"/dead-letters/{letter['id']}/replay", notifier.as_role(Role.OPERATOR)

    assert (await notifier.post(path)).status_code == 403
    still = (await operator.post(path)).json()
    assert (still["status"], still["last_replay"]["result"]) == ("open", "undecodable")
    assert still["reason"] == still["last_replay"]["reason"] == "header ce_specversion is not 1.0"
    assert await _count(notifier_database, "events") == 0

    await mend(notifier_database)
    answers = await asyncio.gather(*(operator.post(path) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    for answer in answers:
        shown = answer.json()
        assert (shown["status"], shown["last_replay"]["result"]) == ("replayed", "recorded")
        assert shown["last_replay"]["event_id"] == record.headers["ce_id"].decode()
        assert shown["last_replay"]["by"]["display_name"] == "Sam"
    assert await _count(notifier_database, "events") == 1
    assert await _count(notifier_database, "notifications") == 1
    # The record comes again, as Kafka may bring it: it is kept already, and stays as it is.
    await recorder.record_events([spoiled(record)])
    assert await _count(notifier_database, "dead_letters") == 1
    assert (await operator.post("/dead-letters/x/replay")).status_code == 404


async def test_all_letters_of_a_topic_are_replayed_in_their_order(
    notifier: Notifier, recorder: EventRecorder, notifier_database: Database
) -> None:
    records = incoming(6)
    twice = replace(records[0], offset=90)
    other = replace(spoiled(records[5]), topic="TransactionFailed")
    # One event came in a record that could be read as well.
    await recorder.record_events([*(spoiled(record) for record in (*records[:5], twice)), other, records[4]])
    await mend(notifier_database)
    await notifier_database["dead_letters"].update_one({"offset": 2}, {"$set": {"value": b"{}"}})
    operator = notifier.as_role(Role.OPERATOR)
    done = (await operator.post("/dead-letters/replay", {"topic": "TransactionCompleted"})).json()
    assert done == {"recorded": 3, "already_recorded": 2, "undecodable": 1, "last": None}
    events = [event async for event in notifier_database["events"].find().sort("_id")]
    expected = [records[index].headers["ce_id"].decode() for index in (4, 0, 1, 3)]
    assert [str(event["id"]) for event in events] == expected
    still_open = await _letters_of(notifier, status="open")
    assert [letter["topic"] for letter in still_open] == ["TransactionFailed", "TransactionCompleted"]
    assert "does not fit TransactionCompleted" in str(still_open[1]["reason"])
    again = (await operator.post("/dead-letters/replay", {"topic": "TransactionCompleted"})).json()
    assert (again["recorded"], again["undecodable"]) == (0, 1)
    assert (await operator.post("/dead-letters/replay", {"topic": "Nothing"})).status_code == 422
    assert (await notifier.post("/dead-letters/replay", {})).status_code == 403


async def test_many_letters_are_replayed_in_bounded_steps(
    notifier: Notifier, notifier_database: Database
) -> None:
    await recorder_on(notifier_database, letters=1000).record_events(
        [spoiled(record) for record in incoming(450)]
    )
    await mend(notifier_database)
    operator, recorded, after, steps = notifier.as_role(Role.OPERATOR), 0, None, 0
    while steps == 0 or after is not None:
        done = (await operator.post("/dead-letters/replay", {"after": after})).json()
        recorded, after, steps = recorded + done["recorded"], done["last"], steps + 1
    assert (recorded, steps) == (450, 3)
    assert await _count(notifier_database, "events") == 450


async def test_the_consumer_stops_visibly_and_goes_on_when_an_operator_has_looked(
    tmp_path: Path,
    mongo_uri: str,
    notifier_database: Database,
    users: tuple[PlayedUserApi, str],
    kafka_broker: str,
) -> None:
    """A bad release writes what nobody can read; only so much of it is buried, on a real Kafka."""
    await ensure_topics(KafkaCluster(kafka_broker), [event_type.value for event_type in EventType])
    producer = EventProducer(KafkaCluster(kafka_broker), client_id="tests")
    good = transfers(10)
    bad = [
        OutgoingRecord(record.topic, "one", record.value, {**record.headers, _VERSION: "0.9"})
        for record in transfers(12)
    ]
    # Other tests have published to the same broker, and this consumer reads from the beginning.
    ours = ids_of(good)
    log = tmp_path / "notifier.log"
    parts = (mongo_uri, notifier_database.name, users[1])
    with notifier_process(*parts, broker=kafka_broker, log=log, dead_letter_limit="5") as (_, url):
        async with httpx.AsyncClient(timeout=30) as http:
            await producer.publish([*bad, *good])
            operator = Notifier(url, http, users[0], role=Role.OPERATOR)

            async def stopped() -> bool:
                try:
                    answer = await http.get(f"{url}/readyz")
                except httpx.TransportError:
                    return False
                return "limit of 5 dead letters" in answer.text

            await eventually(stopped)
            assert "bankctl_notifier_holds_for_dead_letters 1.0" in (await http.get(f"{url}/metrics")).text
            assert await _count(notifier_database, "dead_letters") == 5
            assert (await operator.get("/dead-letters")).json()["intake"]["open"] is False
            for kept in (10, 12):
                resumed = await operator.post("/dead-letters/resume", {"reason": "seen"})
                assert resumed.json()["reopened"]["by"]["display_name"] == "Sam"

                async def more_kept(wanted: int = kept) -> bool:
                    return await _count(notifier_database, "dead_letters") == wanted

                await eventually(more_kept)

            async def goes_on() -> bool:
                ready = (await http.get(f"{url}/readyz")).status_code == 200
                return ready and await _count(notifier_database, "events", id={"$in": ours}) == len(good)

            await eventually(goes_on)
            assert "bankctl_notifier_holds_for_dead_letters 0.0" in (await http.get(f"{url}/metrics")).text
    await producer.close()
    assert log.read_text().count("the limit of dead letters is reached") >= 1


async def test_a_limit_that_is_none_is_named(mongo_uri: str, users: tuple[PlayedUserApi, str]) -> None:
    for fault in ({"dead_letter_limit": -1}, {"dead_letter_window_minutes": 0}):
        with pytest.raises(ValueError, match=next(iter(fault))):
            async with running_here(mongo_uri, "unused", users, broker=NO_BROKER, **fault):
                pass
