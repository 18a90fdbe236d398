"""Finding events: every filter, in history and stream alike, by an index and never by reading all."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pymongo import ASCENDING, DESCENDING

from daemons.contracts.wire import MoneyView, format_instant
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.notifier.event import Selection
from daemons.notifier.event_log.models import SelectionQuery
from daemons.notifier.event_log.reader import MongoEventReader, conditions
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database
from tests.support.events import (
    ANN,
    ANNS_ACCOUNT,
    BO,
    BOS_ACCOUNT,
    OLGA,
    adjusted,
    changed,
    completed,
    consumed,
    failed,
    funded,
    incoming,
    publishable,
)
from tests.support.notifier import Notifier, recorder_on, take

AMOUNTS = ["0.05", "9.99", "10.00", "99.50", "100.00", "1000.00", "12345678901234567.89"]


async def record(recorder: EventRecorder, *made: tuple[UUID, Any], offset: int = 0) -> list[str]:
    records = [
        consumed(publishable(event_id, data), partition=3, offset=offset + index)
        for index, (event_id, data) in enumerate(made)
    ]
    await recorder.record_events(records)
    return [str(event_id) for event_id, _ in made]


async def mixture(recorder: EventRecorder) -> list[str]:
    ids = [new_id() for _ in range(5)]
    made = [completed(ids[0]), failed(ids[1]), funded(ids[2]), adjusted(ids[3]), changed("frozen")]
    return await record(recorder, *zip(ids, made, strict=True))


async def found(notifier: Notifier, **asked: str | int) -> list[int]:
    """The positions in history, oldest first; newest first must be the same ones, and so must a stream."""
    answer = await notifier.get("/events/history", order="asc", **asked)
    assert answer.status_code == 200, answer.text
    positions = [item["position"] for item in answer.json()["items"]]
    newest = (await notifier.get("/events/history", order="desc", **asked)).json()["items"]
    assert [item["position"] for item in newest] == positions[::-1]
    beginning = {} if {"since", "from"} & asked.keys() else {"after": 0}
    async with notifier.stream(**beginning, **asked) as events:
        assert await take(events, len(positions)) == positions
    return positions


async def test_events_are_found_by_user(notifier: Notifier, recorder: EventRecorder) -> None:
    await mixture(recorder)
    everybody = (await notifier.get("/events/history", order="asc")).json()["items"]
    for user in (ANN, BO, OLGA):
        named = [item["position"] for item in everybody if user.user_id in str(item["data"])]
        assert await found(notifier, user=user.user_id) == named
    assert await found(notifier, user=str(new_id())) == []


async def test_events_are_found_by_amount(notifier: Notifier, recorder: EventRecorder) -> None:
    ids = [new_id() for _ in AMOUNTS]
    made = [
        completed(event_id).model_copy(update={"amount": MoneyView(amount=amount, currency="EUR")})
        for event_id, amount in zip(ids, AMOUNTS, strict=True)
    ]
    await record(recorder, *zip(ids, made, strict=True), (new_id(), changed("opened")))
    assert await found(notifier, min_amount="0.01") == [1, 2, 3, 4, 5, 6, 7]
    assert await found(notifier, min_amount="9.995") == [3, 4, 5, 6, 7]
    assert await found(notifier, min_amount="10") == [3, 4, 5, 6, 7]
    assert await found(notifier, min_amount="99.51") == [5, 6, 7]
    assert await found(notifier, min_amount="1000.01") == [7]
    assert await found(notifier, min_amount="9000000000000000000") == []


async def test_failures_are_refused_transactions(notifier: Notifier, recorder: EventRecorder) -> None:
    await mixture(recorder)
    assert await found(notifier, failures="true") == [2]
    assert await found(notifier, failures="false") == [1, 2, 3, 4, 5]
    refused = await notifier.get("/events/history", failures="true", type="AccountChanged")
    assert refused.status_code == 422


async def test_filters_go_together(notifier: Notifier, recorder: EventRecorder) -> None:
    await mixture(recorder)
    assert await found(notifier, failures="true", account=ANNS_ACCOUNT, user=ANN.user_id, min_amount="1") == [
        2
    ]
    assert await found(notifier, account=BOS_ACCOUNT, type="TransactionCompleted", min_amount="13") == []


async def test_history_and_stream_begin_with_an_event(notifier: Notifier, recorder: EventRecorder) -> None:
    ids = await mixture(recorder)
    assert await found(notifier, **{"from": ids[2]}) == [3, 4, 5]
    for path in ("/events", "/events/history"):
        answer = await notifier.get(path, **{"from": str(new_id())})
        assert (answer.status_code, answer.json()["code"]) == (404, "event_not_found")


async def test_pages_from_an_event_on_end_there(notifier: Notifier, recorder: EventRecorder) -> None:
    ids = await mixture(recorder)
    first = (await notifier.get("/events/history", limit=2, **{"from": ids[1]})).json()
    assert [item["position"] for item in first["items"]] == [5, 4]
    query = {"limit": 2, "from": ids[1], "cursor": first["next_cursor"]}
    rest = (await notifier.get("/events/history", **query)).json()
    assert ([item["position"] for item in rest["items"]], rest["next_cursor"]) == ([3, 2], None)


async def test_history_and_stream_begin_at_a_time(notifier: Notifier, notifier_database: Database) -> None:
    start = utc_now().replace(microsecond=0) - timedelta(days=1)
    made: list[datetime] = []
    for hours in range(20):
        made.append(start + timedelta(hours=hours))
        recorder = recorder_on(notifier_database)
        recorder._clock = lambda: made[-1] + timedelta(seconds=1)
        event_id = new_id()
        await recorder.record_events([consumed(publishable(event_id, completed(event_id), time=made[-1]))])
    for first in (0, 1, 7, 18, 19):
        assert await found(notifier, since=format_instant(made[first])) == list(range(first + 1, 21))
    assert await found(notifier, since=format_instant(made[-1] + timedelta(seconds=1))) == []
    reader = MongoEventReader(notifier_database)
    # Found by halving: nearly nothing that is older is read.
    assert [await reader.position_before(at) for at in made] == list(range(20))


async def test_one_event_is_shown_with_its_place_on_kafka(
    notifier: Notifier, recorder: EventRecorder
) -> None:
    ids = await mixture(recorder)
    shown = (await notifier.get(f"/events/{ids[2]}")).json()
    assert (shown["position"], shown["type"]) == (3, "AccountFundedPayload")
    assert (shown["partition"], shown["offset"]) == (3, 2)
    for unknown in (str(new_id()), "nonsense"):
        answer = await notifier.get(f"/events/{unknown}")
        assert (answer.status_code, answer.json()["code"]) == (404, "event_not_found")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user", "ann@example.com"),
        ("min_amount", "-1"),
        ("min_amount", "0"),
        ("min_amount", "1e9"),
        ("failures", "perhaps"),
        ("since", "yesterday"),
        ("since", "2026-11-24T00:00:00"),
        ("from", "17"),
    ],
)
async def test_a_malformed_filter_is_named(notifier: Notifier, field: str, value: str) -> None:
    for path in ("/events", "/events/history"):
        answer = await notifier.get(path, **{field: value})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert [fault["field"] for fault in answer.json()["errors"]] == [field]


FILTERS = {
    "none": {},
    "type": {"type": "TransactionFailed"},
    "types": {"type": "TransactionFailed,AccountChanged"},
    "failures": {"failures": "true"},
    "account": {"account": ANNS_ACCOUNT},
    "user": {"user": ANN.user_id},
    "amount": {"min_amount": "10"},
    "since": {"since": "2026-11-24T00:00:00Z"},
    "account and type": {"account": ANNS_ACCOUNT, "type": "TransactionFailed,AccountChanged"},
    "user and amount": {"user": ANN.user_id, "min_amount": "1000"},
    "all": {"account": ANNS_ACCOUNT, "user": ANN.user_id, "min_amount": "5", "failures": "true"},
}


async def test_no_filter_reads_the_whole_log_or_sorts(
    notifier_database: Database, recorder: EventRecorder
) -> None:
    for first in range(0, 900, 300):
        await recorder.record_events(incoming(300, first_offset=first))
    for name, asked in FILTERS.items():
        selection: Selection = SelectionQuery.model_validate(asked).selection
        query = {"_id": {"$gt": 0}, **conditions(selection)}
        for direction in (ASCENDING, DESCENDING):
            plan = await notifier_database["events"].find(query).sort("_id", direction).limit(50).explain()
            stages = set(stages_of(plan["queryPlanner"]["winningPlan"]))
            assert not {"COLLSCAN", "SORT"} & stages, (name, stages)
            assert "IXSCAN" in stages, (name, stages)


def stages_of(plan: dict[str, Any]) -> list[str]:
    below = [plan[name] for name in ("inputStage", "queryPlan") if name in plan]
    below += plan.get("inputStages", []) + plan.get("shards", [])
    own = [plan["stage"]] if "stage" in plan else []
    return own + [stage for one in below for stage in stages_of(one)]
