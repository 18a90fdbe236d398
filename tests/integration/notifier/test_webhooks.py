"""Webhooks over real HTTP: signed, tried again, kept out of the bank's network, disabled when they fail."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from daemons.contracts.permissions import Role
from daemons.notifier.channels.port import Message, Refused, Unavailable
from daemons.notifier.channels.webhook import Target, WebhookChannel, WebhookSender
from daemons.notifier.webhooks.owing import OwedToWebhooks
from daemons.notifier.webhooks.service import WebhookTargets
from daemons.notifier.webhooks.storage import MongoWebhooks
from daemons.notifier.webhooks.webhook import Webhook, new_secret
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.mongo import Database
from tests.support.deliveries import all_settled, states_in, work_on
from tests.support.events import completed, consumed, failed, publishable
from tests.support.notifier import NO_BROKER, Notifier, PlayedUserApi, recorder_on, running_here
from tests.support.receiver import Receiver, receiving
from tests.support.user_api import MovableClock
from tests.support.waiting import eventually

REASON = "fraud checks"


class PlayedResolver(AbstractResolver):
    """Names as a test has them; counts how often it is asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = [*addresses]
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def sending(
    *, allow_loopback: bool = True, resolver: AbstractResolver | None = None, seconds: float = 10.0
) -> AsyncIterator[WebhookSender]:
    sender = WebhookSender(allow_loopback=allow_loopback, clock=utc_now, resolver=resolver, seconds=seconds)
    try:
        yield sender
    finally:
        await sender.close()


def target(url: str) -> Target:
    return Target(url, [new_secret()])


@asynccontextmanager
async def running(
    mongo_uri: str, database: Database, users: tuple[PlayedUserApi, str], **settings: Any
) -> AsyncIterator[Notifier]:
    async with running_here(
        mongo_uri, database.name, users, broker=NO_BROKER, webhook_allow_loopback=True, **settings
    ) as notifier:
        yield notifier.as_role(Role.OPERATOR)


async def record(database: Database, *makes: Any) -> list[str]:
    ids = [new_id() for _ in makes]
    records = [consumed(publishable(id_, make(id_))) for id_, make in zip(ids, makes, strict=True)]
    # As another process of the notifier would.
    await recorder_on(database, owing=[OwedToWebhooks(MongoWebhooks(database))]).record_events(records)
    return [str(id_) for id_ in ids]


async def act(notifier: Notifier, path: str, body: object | None = None) -> Any:
    answer = await notifier.post(path, body)
    assert answer.status_code < 300, answer.text
    return answer.json() if answer.content else None


async def test_events_are_posted_signed_in_order_and_of_the_chosen_types_only(
    mongo_uri: str, notifier_database: Database, users: tuple[PlayedUserApi, str]
) -> None:
    async with (
        running(mongo_uri, notifier_database, users) as notifier,
        receiving() as all_,
        receiving() as some,
    ):
        whole = await act(notifier, "/webhooks", {"url": all_.url, "types": [], "reason": REASON})
        chosen = {"url": some.url, "types": ["TransactionFailed"], "reason": REASON}
        of_failures = await act(notifier, "/webhooks", chosen)
        ids = await record(notifier_database, completed, failed, completed)
        await all_settled(notifier_database)
        listed = (await notifier.get("/webhooks")).json()["items"]
    assert [payload["id"] for payload in all_.payloads] == ids
    assert [payload["id"] for payload in some.payloads] == [ids[1]]
    assert all(all_.verifies(whole["secret"], place) for place in range(3))
    assert some.verifies(of_failures["secret"])
    assert not some.verifies(whole["secret"])
    assert some.payloads[0]["type"] == "TransactionFailed"
    assert some.payloads[0]["data"]["failure"]["code"] == "insufficient_funds"
    assert [one["id"] for one in listed] == [whole["id"], of_failures["id"]]
    assert "whsec_" not in str(listed)


async def test_what_a_receiver_refuses_is_posted_again_under_the_same_id(
    mongo_uri: str, notifier_database: Database, users: tuple[PlayedUserApi, str]
) -> None:
    async def fails_twice(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=204 if len(receiver.came) > 2 else 500)

    async with running(mongo_uri, notifier_database, users) as notifier, receiving(fails_twice) as receiver:
        added = await act(notifier, "/webhooks", {"url": receiver.url, "reason": REASON})
        await record(notifier_database, completed)
        await all_settled(notifier_database)
        [listed] = (await notifier.get("/webhooks")).json()["items"]
    assert len(receiver.ids) == 3
    assert len(set(receiver.ids)) == 1
    assert set((await states_in(notifier_database)).values()) == {"sent"}
    assert (listed["id"], listed["failing_since"], listed["disabled_at"]) == (added["id"], None, None)


async def test_after_a_rotation_both_secrets_verify_until_the_old_one_ends(
    mongo_uri: str, notifier_database: Database, users: tuple[PlayedUserApi, str]
) -> None:
    clock = MovableClock()
    async with running(mongo_uri, notifier_database, users, clock=clock) as notifier, receiving() as receiver:
        added = await act(notifier, "/webhooks", {"url": receiver.url, "reason": REASON})
        path = f"/webhooks/{added['id']}"
        rotated = await act(notifier, f"{path}/rotate", {"overlap_hours": 2, "reason": "yearly"})
        assert (await act(notifier, f"{path}/test"))["delivered"] is True
        assert receiver.verifies(added["secret"])
        assert receiver.verifies(rotated["secret"])
        leaked = await act(notifier, f"{path}/rotate", {"overlap_hours": 0, "reason": "leaked"})
        await act(notifier, f"{path}/test")
        assert not receiver.verifies(rotated["secret"])
        assert receiver.verifies(leaked["secret"])
        again = await act(notifier, f"{path}/rotate", {"overlap_hours": 2, "reason": "yearly"})
        stored = await MongoWebhooks(notifier_database).find(UUID(added["id"]))
        assert stored is not None
        later = utc_now() + timedelta(hours=2, seconds=1)
        assert stored.signing_secrets(utc_now()) == [again["secret"], leaked["secret"]]
        assert stored.signing_secrets(later) == [again["secret"]]


async def test_a_webhook_that_fails_for_long_is_disabled_and_operators_are_told(
    mongo_uri: str, notifier_database: Database, users: tuple[PlayedUserApi, str]
) -> None:
    async def fails(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    # An hour of failures, for a webhook that may fail for a moment only.
    settings = {"webhook_disable_hours": 0.00001}
    async with (
        running(mongo_uri, notifier_database, users, **settings) as notifier,
        receiving(fails) as receiver,
    ):
        added = await act(notifier, "/webhooks", {"url": receiver.url, "reason": REASON})
        await record(notifier_database, completed, completed)

        async def is_disabled() -> bool:
            ready = await notifier.http.get(f"{notifier.url}/readyz")
            return added["id"] in ready.json().get("notices", {}).get("webhooks", "")

        await eventually(is_disabled)
        await all_settled(notifier_database)
        # What comes while it is disabled is not owed.
        await record(notifier_database, completed)
        assert list((await states_in(notifier_database)).values()) == ["given_up"] * 2
        entries = (await notifier.get("/audit/events")).json()["items"]
        assert entries[0]["action"] == "disable_webhook"
        assert entries[0]["actor"]["display_name"] == "the notifier"
        assert entries[0]["reason"] == "answered 503"
        refused = await act(notifier, f"/webhooks/{added['id']}/test")
        assert (refused["delivered"], refused["fault"]) == (False, "answered 503")
        receiver.answer = lambda _request: asyncio.sleep(0, web.Response(status=200))
        tested = await act(notifier, f"/webhooks/{added['id']}/test")
        assert (tested["delivered"], tested["webhook"]["disabled_at"]) == (True, None)
        assert not await is_disabled()


async def test_a_receiver_that_is_gone_is_disabled_at_once(notifier_database: Database) -> None:
    async def gone(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=410)

    store = MongoWebhooks(notifier_database)
    targets = WebhookTargets(
        work_on(notifier_database), store, disable_after=timedelta(days=1), clock=utc_now
    )
    async with receiving(gone) as receiver, sending() as sender:
        webhook_id = await added_webhook(notifier_database, receiver)
        channel = WebhookChannel(targets, sender)
        with pytest.raises(Refused, match="410"):
            await channel.send(message_to(webhook_id))
        with pytest.raises(Refused, match="disabled"):
            await channel.send(message_to(webhook_id))
    assert len(receiver.came) == 1
    assert str(webhook_id) in str(await targets.notice())


async def test_who_is_removed_gets_nothing_more(
    mongo_uri: str, notifier_database: Database, users: tuple[PlayedUserApi, str]
) -> None:
    async with running(mongo_uri, notifier_database, users) as notifier, receiving() as receiver:
        added = await act(notifier, "/webhooks", {"url": receiver.url, "reason": REASON})
        await act(notifier, f"/webhooks/{added['id']}/remove", {"reason": "no longer used"})
        await record(notifier_database, completed)
        assert await states_in(notifier_database) == {}
        gone = await notifier.post(f"/webhooks/{added['id']}/test", None)
        assert (gone.status_code, gone.json()["code"]) == (404, "webhook_not_found")
    assert receiver.came == []


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "https://169.254.169.254/latest", "ftp://example.com/"])
async def test_a_url_inside_cannot_be_added(
    mongo_uri: str, notifier_database: Database, users: tuple[PlayedUserApi, str], url: str
) -> None:
    async with running(mongo_uri, notifier_database, users) as notifier:
        answer = await notifier.post("/webhooks", {"url": url, "reason": REASON})
    assert (answer.status_code, answer.json()["code"]) == (422, "webhook_url_refused")
    assert await notifier_database["webhooks"].count_documents({}) == 0


async def test_a_name_that_leads_inside_is_not_connected_to() -> None:
    """A public name may have any address: what counts is where it leads when it is connected to."""
    async with receiving() as receiver:
        resolver = PlayedResolver("93.184.215.14", "127.0.0.1")
        url = f"http://receiver.example:{receiver.port}/"
        async with sending(allow_loopback=False, resolver=resolver) as sender:
            with pytest.raises(
                Unavailable, match=r"127\.0\.0\.1 is an address of the notifier's own machine"
            ):
                await sender.post(target(url), "id", {})
        assert receiver.came == []
        for literal in (f"http://127.0.0.1:{receiver.port}/", f"http://[::ffff:127.0.0.1]:{receiver.port}/"):
            async with sending(allow_loopback=False) as sender:
                with pytest.raises(Unavailable, match="own machine"):
                    await sender.post(target(literal), "id", {})
    assert receiver.came == []


async def test_the_connection_goes_to_the_address_that_was_judged() -> None:
    """A name that answers otherwise the second time finds nobody asking."""
    async with receiving() as receiver:
        resolver = PlayedResolver("127.0.0.1")
        async with sending(resolver=resolver) as sender:
            await sender.post(target(f"http://receiver.example:{receiver.port}/"), "id", {})
    assert resolver.asked == 1
    assert receiver.came[0][0]["Host"].startswith("receiver.example")


async def test_a_redirect_is_not_followed() -> None:
    async def elsewhere(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with receiving(elsewhere) as receiver, sending() as sender:
        with pytest.raises(Unavailable, match="answered 302"):
            await sender.post(target(receiver.url), "id", {})
    assert receiver.paths == ["/hook"]


async def test_an_answer_without_end_is_not_read() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except ConnectionError:
            return response

    async with receiving(endless) as receiver, sending() as sender:
        await sender.post(target(receiver.url), "id", {})
    assert len(receiver.came) == 1


async def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    never = asyncio.Event()

    async def silent(_request: web.Request) -> web.StreamResponse:
        await never.wait()
        return web.Response()

    async with receiving(silent) as receiver, sending(seconds=0.2) as sender:
        with pytest.raises(Unavailable, match="no proper answer"):
            await sender.post(target(receiver.url), "id", {})
        never.set()
    assert len(receiver.came) == 1


async def added_webhook(database: Database, receiver: Receiver) -> UUID:
    """Add a webhook without the routes."""
    webhook = Webhook(
        id=new_id(), url=receiver.url, types=frozenset(), secret=new_secret(), created_at=utc_now()
    )
    await MongoWebhooks(database).insert(webhook)
    return webhook.id


def message_to(webhook_id: UUID) -> Message:
    event = {
        "type": "TransactionCompleted",
        "time": "2026-01-02T03:04:05.000Z",
        "id": "x",
        "position": 1,
        "data": {},
    }
    return Message(new_id(), str(webhook_id), "", "", event=event)
