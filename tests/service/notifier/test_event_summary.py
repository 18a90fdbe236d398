"""The summary for `bankctl events top`: what was recorded lately, what waits, what failed last."""

from datetime import timedelta
from typing import Any

from daemons.contracts.names import DeliveryState, EventType
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.notifier.deliveries.delivery import Cause, Outcome, Owed
from daemons.notifier.deliveries.storage import MongoDeliveries
from daemons.notifier.event_log.reader import MongoEventReader
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database
from tests.support.deliveries import messages_to, owe
from tests.support.events import completed, consumed, failed, funded, publishable
from tests.support.notifier import Notifier

LONG_AGO = timedelta(hours=2)


async def record(recorder: EventRecorder, made: list[Any]) -> list[str]:
    ids = [new_id() for _ in made]
    await recorder.record_events(
        [consumed(publishable(id_, one(id_))) for id_, one in zip(ids, made, strict=True)]
    )
    return [str(id_) for id_ in ids]


async def summary_of(notifier: Notifier, **asked: int) -> dict[str, Any]:
    answer = await notifier.get("/events/summary", **asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_bank_in_which_nothing_happened(notifier: Notifier) -> None:
    found = await summary_of(notifier)
    assert found["window_seconds"] == 60
    assert found["events"] == [{"type": one.value, "count": 0} for one in EventType]
    assert (found["position"], found["newest_at"], found["newest_delay_seconds"]) == (0, None, None)
    assert (
        found["reasons"] == found["deliveries"] == found["last_failures"] == found["last_undelivered"] == []
    )
    # This notifier has no Kafka, so what waits there is not known, which is not the same as nothing.
    assert found["waiting"] is None


async def test_only_what_was_recorded_in_the_window_is_counted(
    notifier: Notifier, recorder: EventRecorder, notifier_database: Database
) -> None:
    old = await record(recorder, [completed, failed, failed])
    await notifier_database["events"].update_many({}, {"$set": {"received_at": utc_now() - LONG_AGO}})
    new = await record(recorder, [completed, completed, failed, funded])
    found = await summary_of(notifier)
    counts = {one["type"]: one["count"] for one in found["events"]}
    assert {name: count for name, count in counts.items() if count} == {
        "TransactionCompleted": 2,
        "TransactionFailed": 1,
        "AccountFundedPayload": 1,
    }
    assert found["total"] == 4
    assert found["reasons"] == [{"code": "insufficient_funds", "count": 1}]
    # The last failures are shown however long ago they were, the newest first.
    assert [one["id"] for one in found["last_failures"]] == [new[2], old[2], old[1]]
    assert found["position"] == 7
    assert found["newest_delay_seconds"] >= 0
    assert (await summary_of(notifier, window=3600))["reasons"][0]["count"] == 1


async def test_what_each_channel_has_to_send_is_told_with_the_oldest(
    notifier: Notifier, notifier_database: Database
) -> None:
    store = MongoDeliveries(notifier_database)
    mails = await owe(notifier_database, messages_to("email", "ann", "a", "b", "c"))
    [call] = await owe(notifier_database, [Owed(Cause.event(new_id()), "webhook", "crm")])
    now = utc_now()
    await store.keep(mails[0], Outcome(DeliveryState.SENT, now))
    later = now + timedelta(minutes=1)
    await store.keep(mails[1], Outcome(DeliveryState.FAILED, now, due_at=later, fault="421 later"))
    await store.keep(call, Outcome(DeliveryState.GIVEN_UP, now, fault="410 gone"))
    found = await summary_of(notifier)
    [email] = found["deliveries"]
    assert (email["channel"], email["unsettled"], email["failing"]) == ("email", 2, 1)
    assert 0 <= email["oldest_age_seconds"] < LONG_AGO.total_seconds()
    assert [(one["channel"], one["state"], one["fault"]) for one in found["last_undelivered"]] == [
        ("webhook", "given_up", "410 gone"),
        ("email", "failed", "421 later"),
    ]


async def test_no_more_is_counted_than_the_bounds_allow(
    notifier_database: Database, recorder: EventRecorder
) -> None:
    await record(recorder, [failed] * 5)
    await owe(notifier_database, messages_to("email", "ann", *"abcde"))
    reader = MongoEventReader(notifier_database)
    assert (await reader.count_by_type(0, limit=3))[EventType.TRANSACTION_FAILED] == 3
    assert await reader.count_reasons(0, limit=2) == {"insufficient_funds": 2}
    assert await reader.count_reasons(5, limit=2) == {}
    [backlog] = await MongoDeliveries(notifier_database).backlogs(limit=4)
    assert backlog.unsettled == 4


async def test_a_window_is_between_a_second_and_an_hour(notifier: Notifier) -> None:
    for window in (0, 3601, -1):
        refused = await notifier.get("/events/summary", window=window)
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
