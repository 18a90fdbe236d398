"""Preferences, the link that stops messages, a user's own notices, and deliveries for staff."""

from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx

from daemons.contracts.names import NoticeType
from daemons.contracts.permissions import Role
from daemons.notifier.deliveries.delivery import Cause, Owed
from daemons.notifier.preferences.preferences import Preferences
from daemons.notifier.preferences.storage import MongoPreferences
from daemons.notifier.preferences.unsubscribe import UnsubscribeLinks
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database
from tests.support.deliveries import owe
from tests.support.events import ANN, consumed, failed, publishable
from tests.support.notifier import Notifier, cookie, recorder_on


async def patch(notifier: Notifier, body: object) -> httpx.Response:
    headers = {"X-Requested-With": "tests", **cookie(notifier.token)}
    url = f"{notifier.url}/notifications/preferences"
    return await notifier.http.patch(url, json=body, headers=headers)


def user_id_of(notifier: Notifier) -> str:
    return str(notifier.users._sessions[notifier.session_id]["user_id"])


async def test_who_has_said_nothing_has_the_defaults(notifier: Notifier) -> None:
    ann = notifier.as_role(Role.USER)
    found = (await ann.get("/notifications/preferences")).json()
    assert found == {
        "events": ["account_changed", "refused"],
        "channels": ["email"],
        "available_channels": ["email"],
        "thresholds": {},
        "quiet_hours": None,
        "zone": "UTC",
        "language": "en",
    }


async def test_a_change_names_what_is_different_and_is_ones_own(notifier: Notifier) -> None:
    ann, bo = notifier.as_role(Role.USER), notifier.as_role(Role.USER)
    first = {
        "events": ["money_in"],
        "thresholds": {"EUR": "100.00"},
        "quiet_hours": {"begin": "22:00", "end": "07:00"},
        "zone": "Europe/Prague",
        "language": "cs",
    }
    assert (await patch(ann, first)).status_code == 200
    changed = (await patch(ann, {"quiet_hours": None})).json()
    assert changed["quiet_hours"] is None
    assert {name: changed[name] for name in first if name != "quiet_hours"} == {
        name: value for name, value in first.items() if name != "quiet_hours"
    }
    assert (await ann.get("/notifications/preferences")).json() == changed
    assert (await bo.get("/notifications/preferences")).json()["language"] == "en"


async def test_bad_preferences_change_nothing_and_the_answer_names_the_field(notifier: Notifier) -> None:
    ann = notifier.as_role(Role.USER)
    before = (await ann.get("/notifications/preferences")).json()
    faults = {
        "events": ["nothing"],
        "channels": ["pigeon"],
        "thresholds": {"EUR": "-1"},
        "quiet_hours": {"begin": "25:00", "end": "07:00"},
        "zone": "../../etc/passwd",
        "language": "tlh",
    }
    for field, value in faults.items():
        answer = await patch(ann, {field: value})
        assert answer.status_code == 422, field
        assert answer.json()["errors"][0]["field"].startswith(field)
    assert (await ann.get("/notifications/preferences")).json() == before


async def test_a_signed_link_stops_messages_after_asking_and_by_one_click(
    notifier: Notifier, notifier_database: Database
) -> None:
    links = UnsubscribeLinks(notifier_database, "https://bank.example/")
    url = urlsplit(await links.url(UUID(ANN.user_id), "email"))
    assert url.path == "/notifications/unsubscribe"
    [token] = parse_qs(url.query)["token"]
    page = await notifier.http.get(f"{notifier.url}{url.path}", params={"token": token})
    assert page.headers["content-type"].startswith("text/html")
    assert '<form method="post"' in page.text
    store = MongoPreferences(notifier_database)
    assert (await store.of(ANN.user_id)).channels == {"email"}
    # As a mail program does it (RFC 8058): a form, no cookie, no header of ours.
    one_click = {"List-Unsubscribe": "One-Click"}
    done = await notifier.http.post(f"{notifier.url}{url.path}", params={"token": token}, data=one_click)
    assert done.status_code == 200
    after = await store.of(ANN.user_id)
    assert after.channels == frozenset()
    assert after.channels_for(NoticeType.SECURITY, None) == {"email"}


async def test_a_link_that_was_changed_names_nobody(notifier: Notifier, notifier_database: Database) -> None:
    links = UnsubscribeLinks(notifier_database, "https://bank.example")
    [token] = parse_qs(urlsplit(await links.url(UUID(ANN.user_id), "email")).query)["token"]
    for forged in (token[:-4], "A" + token[1:] if token[0] != "A" else "B" + token[1:], "x", "é"):
        answer = await notifier.http.post(
            f"{notifier.url}/notifications/unsubscribe", params={"token": forged}
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "link_unknown")
    assert await MongoPreferences(notifier_database).of(ANN.user_id) == Preferences()


async def test_users_see_their_own_notices_and_nobody_elses(
    notifier: Notifier, notifier_database: Database
) -> None:
    ann, bo = notifier.as_role(Role.USER), notifier.as_role(Role.USER)
    event_id = new_id()
    data = failed(event_id)
    mine = data.sender.model_copy(
        update={"owner": ANN.model_copy(update={"user_id": user_id_of(ann), "display_name": "Ann"})}
    )
    data = data.model_copy(update={"sender": mine})
    await recorder_on(notifier_database).record_events([consumed(publishable(event_id, data))])
    await owe(notifier_database, [Owed(Cause.event(event_id), "email", user_id_of(ann))])
    [notice] = (await ann.get("/notifications/own")).json()["items"]
    assert notice["subject"] == "A payment of 12.34\u00a0EUR was refused"
    assert (notice["event_id"], notice["state"]) == (str(event_id), "owed")
    assert (await bo.get("/notifications/own")).json()["items"] == []


async def test_staff_see_deliveries_and_operators_retry_those_given_up(
    notifier: Notifier, notifier_database: Database
) -> None:
    operator = notifier.as_role(Role.OPERATOR)
    event_id = new_id()
    [owed, lost] = await owe(
        notifier_database,
        [
            Owed(Cause.event(event_id), "email", ANN.user_id),
            Owed(Cause.message("m"), "email", "x@example.com"),
        ],
    )
    await notifier_database["deliveries"].update_many(
        {}, {"$set": {"state": "given_up", "settled_at": owed.created_at}, "$unset": {"due_at": ""}}
    )
    listed = (await notifier.get("/deliveries", state="given_up", limit=1)).json()
    assert [one["id"] for one in listed["items"]] == [str(lost.id)]
    more = (await notifier.get("/deliveries", cursor=listed["next_cursor"])).json()
    assert [one["id"] for one in more["items"]] == [str(owed.id)]
    of_event = (await notifier.get("/deliveries", event=str(event_id))).json()["items"]
    assert [one["id"] for one in of_event] == [str(owed.id)]
    assert (await notifier.post(f"/deliveries/{owed.id}/retry")).status_code == 403
    again = (await operator.post(f"/deliveries/{owed.id}/retry")).json()
    assert (again["state"], again["settled_at"]) == ("owed", None)
    for id_, code in ((owed.id, "delivery_not_given_up"), (lost.id, "delivery_erased")):
        refused = await operator.post(f"/deliveries/{id_}/retry")
        assert (refused.status_code, refused.json()["code"]) == (409, code)
    missing = await operator.post(f"/deliveries/{new_id()}/retry")
    assert (missing.status_code, missing.json()["code"]) == (404, "delivery_not_found")
    acts = (await notifier.get("/audit/events")).json()["items"]
    assert [act["action"] for act in acts if act["target"]["id"] == str(owed.id)] == ["retry_delivery"]


async def test_the_proof_counts_what_nobody_tries(notifier: Notifier, notifier_database: Database) -> None:
    assert (await notifier.get("/events/proof")).json()["deliveries"] == {
        "settled": 0,
        "given_up": 0,
        "tried": 0,
        "astray": 0,
    }
    await owe(notifier_database, [Owed(Cause.message("m"), "email", "x@example.com")])
    # This notifier has no relay, so nobody sends it.
    assert (await notifier.get("/events/proof")).json()["deliveries"]["astray"] == 1
