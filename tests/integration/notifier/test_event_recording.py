"""The effect of a batch on a real MongoDB: once per event, in one order, with nothing dropped."""

import asyncio
from dataclasses import replace

from daemons.notifier.consumption.recorder import EventRecorder
from daemons.notifier.event_log.decoding import LARGEST_VALUE_BYTES
from daemons.shared.kafka.consumer import BATCH_SIZE
from daemons.shared.kafka.records import IncomingRecord
from daemons.shared.mongo import Database, connect
from tests.support.events import ANNS_ACCOUNT, BOS_ACCOUNT, incoming
from tests.support.notifier import recorder_on


async def _positions(database: Database) -> list[int]:
    return [event["_id"] async for event in database["events"].find().sort("_id")]


async def _ids(database: Database, collection: str, field: str) -> list[str]:
    return sorted([str(document[field]) async for document in database[collection].find()])


def _enlarged(record: IncomingRecord) -> IncomingRecord:
    """The record with account ids as long as its size allows: they are what is written more than once."""
    assert record.value is not None
    room = LARGEST_VALUE_BYTES - len(record.value)
    value = record.value
    for account in (ANNS_ACCOUNT, BOS_ACCOUNT):
        value = value.replace(account.encode(), account.encode() + b"0" * (room // 2))
    return replace(record, value=value)


def _ids_in(records: list[IncomingRecord]) -> list[str]:
    return sorted({record.headers["ce_id"].decode() for record in records})


async def test_events_that_come_again_have_no_further_effect(
    recorder: EventRecorder, notifier_database: Database
) -> None:
    records = incoming(20)
    await recorder.record_events([*records[:10], *records[:10]])
    await recorder.record_events(records[:10])
    await recorder.record_events(records)
    assert await _positions(notifier_database) == list(range(1, 21))
    assert await _ids(notifier_database, "events", "id") == _ids_in(records)
    assert await _ids(notifier_database, "notifications", "event_id") == _ids_in(records)


async def test_two_processes_that_record_the_same_at_once_do_it_once(
    mongo_uri: str, notifier_database: Database
) -> None:
    records = incoming(300)
    woken: list[int] = []

    async def record(batches: list[list[IncomingRecord]]) -> None:
        client = connect(mongo_uri, daemon="tests")
        recorder = recorder_on(client[notifier_database.name], on_recorded=lambda: woken.append(1))
        for batch in batches:
            await recorder.record_events(batch)
        await client.close()

    batches = [records[start : start + 20] for start in range(0, len(records), 20)]
    await asyncio.gather(record(batches), record(batches[::-1]), record(batches))
    assert await _positions(notifier_database) == list(range(1, 301))
    assert await _ids(notifier_database, "events", "id") == _ids_in(records)
    assert await _ids(notifier_database, "notifications", "event_id") == _ids_in(records)
    assert len(woken) >= len(batches)


async def test_processes_that_take_turns_leave_no_gap(
    recorder: EventRecorder, notifier_database: Database
) -> None:
    other = recorder_on(notifier_database)
    records = incoming(40)
    turns = [recorder, recorder, other, other, recorder, other, recorder, recorder]
    for turn, start in zip(turns, range(0, 40, 5), strict=True):
        # Each batch begins with the last record of the one before, as a redelivery does.
        await turn.record_events(records[max(0, start - 1) : start + 5])
    events = await notifier_database["events"].find({}, {"id": 1}).sort("_id").to_list()
    assert [str(event["id"]) for event in events] == [record.headers["ce_id"].decode() for record in records]
    assert [event["_id"] for event in events] == list(range(1, 41))


async def test_a_whole_batch_of_the_largest_events_is_recorded(
    recorder: EventRecorder, notifier_database: Database
) -> None:
    records = [_enlarged(record) for record in incoming(BATCH_SIZE)]
    await recorder.record_events(records)
    assert await _positions(notifier_database) == list(range(1, BATCH_SIZE + 1))
    assert await notifier_database["dead_letters"].count_documents({}) == 0


async def test_a_record_that_cannot_be_read_is_kept_whole_and_its_neighbours_pass(
    recorder: EventRecorder, notifier_database: Database
) -> None:
    records = incoming(5)
    poison = replace(records[2], value=b"\xff not JSON", key=None, headers={"$odd.name": b"\x00"})
    records[2] = poison
    for _ in range(2):
        await recorder.record_events(records)
    assert await _positions(notifier_database) == [1, 2, 3, 4]
    [letter] = await notifier_database["dead_letters"].find({}, {"_id": 0}).to_list()
    assert letter.pop("received_at") is not None
    assert (letter.pop("status"), letter.pop("last_replay")) == ("open", None)
    # Tells it from another record at the same place; what it covers: test_dead_letters.py.
    assert len(letter.pop("digest")) == 32
    assert letter == {
        "topic": poison.topic,
        "partition": poison.partition,
        "offset": poison.offset,
        "key": None,
        "value": b"\xff not JSON",
        "headers": [{"name": "$odd.name", "value": b"\x00"}],
        "reason": "header ce_specversion is missing",
    }


async def test_a_batch_of_nothing_but_poison_does_not_stall(
    recorder: EventRecorder, notifier_database: Database
) -> None:
    await recorder.record_events([replace(record, value=None) for record in incoming(3)])
    assert await notifier_database["dead_letters"].count_documents({}) == 3
    assert await _positions(notifier_database) == []
