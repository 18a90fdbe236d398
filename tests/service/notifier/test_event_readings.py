"""Staff who read a customer's events say why, leave a record, and the customer sees it."""

from collections.abc import AsyncIterator

import httpx
import pytest

from daemons.contracts.permissions import Role
from daemons.notifier.consumption.recorder import EventRecorder
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database
from tests.support.events import ANN, ANNS_ACCOUNT, BO, completed, consumed, publishable
from tests.support.notifier import NO_BROKER, Notifier, PlayedUserApi, running_here
from tests.support.policies import asking_for

WHY = "ticket 4711: payment missing"


@pytest.fixture
async def curious(
    mongo_uri: str, notifier_database: Database, users: tuple[PlayedUserApi, str]
) -> AsyncIterator[Notifier]:
    """A notifier that asks staff why they read."""
    policy = asking_for(reading_hours=1)
    running = running_here(mongo_uri, notifier_database.name, users, broker=NO_BROKER, staff_policy=policy)
    async with running as notifier:
        yield notifier


@pytest.fixture
async def payment(recorder: EventRecorder) -> str:
    """Ann has paid Bo."""
    event_id = new_id()
    await recorder.record_events(
        [consumed(publishable(event_id, completed(event_id)), partition=0, offset=0)]
    )
    return str(event_id)


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def read(notifier: Notifier) -> list[tuple[str, str, str]]:
    """Who was read, what of them and why, oldest first, as the audit has it."""
    records = (await notifier.get("/audit/events", action="read_customer")).json()["items"]
    return [(one["target"]["id"], one["after"]["read"], one["reason"]) for one in reversed(records)]


@pytest.mark.parametrize("asked", [{"account": ANNS_ACCOUNT}, {"user": ANN.user_id}])
async def test_events_of_an_account_or_a_user_are_read_for_a_reason(
    curious: Notifier, payment: str, asked: dict[str, str]
) -> None:
    for path in ("/events/history", "/events"):
        assert code_of(await curious.get(path, **asked)) == (403, "reason_required")
    assert await read(curious) == []
    for why in (WHY, None):
        answer = await curious.get("/events/history", why=why, **asked)
        assert [one["id"] for one in answer.json()["items"]] == [payment]
    # The account is its owner's: one reason is enough for both ways to ask.
    assert (await curious.get("/events/history", user=ANN.user_id)).status_code == 200
    async with curious.stream(after=0, **asked):
        assert await read(curious) == [(ANN.user_id, "events", WHY)]
    assert code_of(await curious.get("/events/history", user=BO.user_id)) == (403, "reason_required")
    other = curious.as_role(Role.ADMIN)
    assert code_of(await other.get("/events/history", **asked)) == (403, "reason_required")


async def test_an_event_is_read_of_both_parties(curious: Notifier, payment: str) -> None:
    path = f"/events/{payment}"
    assert code_of(await curious.get(path)) == (403, "reason_required")
    assert (await curious.get(path, why=WHY)).json()["id"] == payment
    assert sorted(await read(curious)) == [(ANN.user_id, "event", WHY), (BO.user_id, "event", WHY)]


@pytest.mark.parametrize("path", ["/events/history", "/events", "/notifications"])
async def test_everybodys_events_are_read_for_a_reason_of_their_own(
    curious: Notifier, payment: str, path: str
) -> None:
    assert (await curious.get(f"/events/{payment}", why=WHY)).status_code == 200
    assert code_of(await curious.get(path)) == (403, "reason_required")


async def test_what_a_user_was_told_is_read_for_a_reason(curious: Notifier) -> None:
    assert code_of(await curious.get("/deliveries", recipient=ANN.user_id)) == (403, "reason_required")
    assert (await curious.get("/deliveries", recipient=ANN.user_id, why=WHY)).status_code == 200
    assert await read(curious) == [(ANN.user_id, "deliveries", WHY)]


async def test_the_customer_sees_who_read_their_events(curious: Notifier, payment: str) -> None:
    customer = curious.as_role(Role.USER)
    user_id = curious.users.user_of(customer.session_id)
    assert (await curious.get("/events/history", user=user_id, why=WHY)).status_code == 200
    [access] = (await customer.get("/accesses/events")).json()["items"]
    assert (access["role"], access["reason"], access["seen"]) == ("support", WHY, ["events"])
    assert (await curious.as_role(Role.USER).get("/accesses/events")).json()["items"] == []
    assert payment not in str(access)
