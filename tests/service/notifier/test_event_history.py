"""Lists, proof and refusals of the notifier's routes, over a real MongoDB."""

from uuid import UUID

import pytest

from daemons.contracts.digest import EventSetDigest, event_content
from daemons.contracts.permissions import Role
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database
from tests.support.events import BOS_ACCOUNT, changed, completed, consumed, failed, funded, publishable
from tests.support.notifier import Notifier


async def _record_mixture(recorder: EventRecorder, rounds: int) -> list[UUID]:
    """Record four events a round, the last of which is no journal event; returns all ids."""
    records, ids = [], []
    for _ in range(rounds):
        for make in (completed, failed, funded, lambda _: changed("frozen")):
            ids.append(new_id())
            records.append(consumed(publishable(ids[-1], make(ids[-1]))))
    await recorder.record_events(records)
    return ids


async def _all_pages(notifier: Notifier, path: str, **params: str | int) -> list[dict[str, object]]:
    items: list[dict[str, object]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await notifier.get(path, **params, **cursor)).json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        assert len(page["items"]) == params["limit"]
        cursor = {"cursor": page["next_cursor"]}


@pytest.mark.parametrize(("order", "step"), [("asc", 1), ("desc", -1)])
async def test_history_pages_hold_every_event_once(
    notifier: Notifier, recorder: EventRecorder, order: str, step: int
) -> None:
    ids = await _record_mixture(recorder, 3)
    items = await _all_pages(notifier, "/events/history", limit=5, order=order)
    assert [item["position"] for item in items] == list(range(1, 13))[::step]
    assert [item["id"] for item in items] == [str(event_id) for event_id in ids][::step]


async def test_history_filters_by_type_and_account(notifier: Notifier, recorder: EventRecorder) -> None:
    await _record_mixture(recorder, 3)
    frozen = await _all_pages(notifier, "/events/history", limit=2, type="AccountChanged")
    assert [item["position"] for item in frozen] == [12, 8, 4]
    assert {item["severity"] for item in frozen} == {"warning"}
    two = await _all_pages(
        notifier, "/events/history", limit=2, type="TransactionFailed,AccountFundedPayload"
    )
    assert [item["position"] for item in two] == [11, 10, 7, 6, 3, 2]
    of_bo = await _all_pages(notifier, "/events/history", limit=2, account=BOS_ACCOUNT)
    assert [item["position"] for item in of_bo] == [10, 9, 6, 5, 2, 1]
    both = await _all_pages(
        notifier, "/events/history", limit=2, account=BOS_ACCOUNT, type="TransactionFailed"
    )
    assert [item["position"] for item in both] == [10, 6, 2]


async def test_notifications_pages_newest_first(notifier: Notifier, recorder: EventRecorder) -> None:
    ids = await _record_mixture(recorder, 3)
    items = await _all_pages(notifier, "/notifications", limit=5)
    assert [item["event_id"] for item in items] == [str(event_id) for event_id in reversed(ids)]
    assert {item["channel"] for item in items} == {"log"}
    alerts = await _all_pages(notifier, "/notifications", limit=4, severity="warning")
    assert {item["event_type"] for item in alerts} == {"TransactionFailed", "AccountChanged"}
    assert len(alerts) == 6


async def test_the_proof_counts_and_digests_events_with_their_content(
    notifier: Notifier, recorder: EventRecorder
) -> None:
    await _record_mixture(recorder, 4)
    items = await _all_pages(notifier, "/events/history", limit=16)
    expected = EventSetDigest()
    for item in items:
        content = event_content(item["type"], item["key"], item["time"], item["data"])
        expected.add(UUID(item["id"]), content)
    shown = {"count": 16, "digest": expected.hexdigest(), "parts": expected.parts(), "named": []}
    proof = (await notifier.get("/events/proof")).json()
    assert (proof["holds"], proof["mismatches"]) == (True, [])
    assert proof["events"] == proof["notifications"] == shown
    times = sorted(item["time"] for item in items)
    asked = [f"until={times[0]}", "parts=" + str(UUID(items[0]["id"]).bytes[15])]
    first = (await notifier.get(f"/events/proof?{asked[0]}")).json()["events"]
    assert 1 <= first["count"] == sum(time <= times[0] for time in times)
    named = (await notifier.get(f"/events/proof?{asked[1]}")).json()["events"]["named"]
    assert items[0]["id"] in {event["id"] for event in named}
    for wrong in ("until=yesterday", "parts=256", "parts=1,", "parts=1,2,3,4,5,6,7,8,9"):
        assert (await notifier.get(f"/events/proof?{wrong}")).status_code == 422


async def test_the_proof_shows_a_missing_notification(
    notifier: Notifier, recorder: EventRecorder, notifier_database: Database
) -> None:
    await _record_mixture(recorder, 1)
    await notifier_database["notifications"].delete_one({"event_type": "TransactionCompleted"})
    proof = (await notifier.get("/events/proof")).json()
    assert (proof["events"]["count"], proof["notifications"]["count"]) == (4, 3)
    assert [found["problem"] for found in proof["mismatches"]] == ["has no notification"]


@pytest.mark.parametrize("path", ["/events", "/events/history", "/events/proof", "/notifications"])
async def test_only_support_and_above_may_read(notifier: Notifier, path: str) -> None:
    nobody = await notifier.get(path, token="")
    assert (nobody.status_code, nobody.json()["code"]) == (401, "not_signed_in")
    _, token = notifier.users.sign_in(Role.USER)
    customer = await notifier.get(path, token=token)
    assert (customer.status_code, customer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        ("/events", "type", "Nonsense"),
        ("/events", "type", ""),
        ("/events", "type", "TransactionFailed,"),
        ("/events", "account", "17"),
        ("/events", "after", "-1"),
        ("/events", "after", "soon"),
        ("/events", "after", "1"),
        ("/events", "after", str(2**63)),
        ("/events", "nonsense", "1"),
        ("/events/history", "type", "Nonsense"),
        ("/events/history", "limit", "0"),
        ("/events/history", "limit", "201"),
        ("/events/history", "order", "sideways"),
        ("/notifications", "severity", "fatal"),
    ],
)
async def test_a_malformed_query_names_its_field(
    notifier: Notifier, path: str, field: str, value: str
) -> None:
    answer = await notifier.get(path, **{field: value})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [fault["field"] for fault in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("named", ["-1", "soon", "1", "9" * 30, "\u0661"])
async def test_a_malformed_last_event_id_is_refused(notifier: Notifier, named: str) -> None:
    headers = {"Cookie": f"__Host-bankctl={notifier.token}".encode(), "Last-Event-ID": named.encode()}
    answer = await notifier.http.get(f"{notifier.url}/events", headers=headers)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Last-Event-ID"


@pytest.mark.parametrize("path", ["/events/history", "/notifications"])
@pytest.mark.parametrize("cursor", ["AAAA", "!!", "_" * 11, "_" * 32, "x" * 200])
async def test_a_cursor_that_was_never_given_out_is_refused(
    notifier: Notifier, path: str, cursor: str
) -> None:
    answer = await notifier.get(path, cursor=cursor)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_the_api_description_tells_of_every_route(notifier: Notifier) -> None:
    paths = (await notifier.get("/openapi.json")).json()["paths"]
    letters = {f"/dead-letters{rest}" for rest in ("", "/{id}", "/{id}/replay", "/replay", "/resume")}
    trail = {f"/audit/events{rest}" for rest in ("", "/proof", "/{seq}")}
    events = {f"/events{rest}" for rest in ("", "/history", "/missing", "/proof", "/summary", "/{id}")}
    deliveries = {f"/deliveries{rest}" for rest in ("", "/{id}", "/{id}/retry")}
    hooks = {f"/webhooks{rest}" for rest in ("", "/{id}/remove", "/{id}/rotate", "/{id}/test")}
    own = {f"/notifications{rest}" for rest in ("", "/own", "/preferences", "/test", "/unsubscribe")}
    assert set(paths) == {*events, *letters, *trail, *deliveries, *hooks, *own, "/accesses/events"}
