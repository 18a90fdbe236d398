"""From the event, or from user_api's order, to the mail: the real notifier and a real SMTP server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from daemons.contracts.internal import MessageOrder, MessageRecipient
from daemons.contracts.names import Language, NoticeType
from daemons.notifier.preferences.owing import OwedToUsers
from daemons.notifier.preferences.preferences import Preferences, QuietHours
from daemons.notifier.preferences.storage import MongoPreferences
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.kafka.records import IncomingRecord
from daemons.shared.mongo import Database
from tests.support.daemon_keys import calls_of
from tests.support.deliveries import all_settled, messages_to, owe, states_in
from tests.support.events import ANN, BO, changed, completed, consumed, failed, publishable
from tests.support.notifier import (
    NO_BROKER,
    Notifier,
    PlayedUserApi,
    notifier_process,
    recorder_on,
    running_here,
)
from tests.support.smtp import SmtpOfTests, smtp_server, text_of
from tests.support.waiting import eventually

Users = tuple[PlayedUserApi, str]
ANNS_ADDRESS, BOS_ADDRESS = "ann@example.com", "bo@example.com"


@asynccontextmanager
async def mailing(
    mongo_uri: str, database: Database, users: Users, **settings: Any
) -> AsyncIterator[tuple[Notifier, SmtpOfTests]]:
    """A notifier that sends by an SMTP server of the tests."""
    users[0].add(ANN.user_id, name="Ann Berg", email=ANNS_ADDRESS)
    users[0].add(BO.user_id, name="Bo", email=BOS_ADDRESS)
    async with smtp_server() as smtp:
        by_mail = {"smtp_host": "127.0.0.1", "smtp_port": smtp.port, "smtp_security": "none"}
        async with running_here(
            mongo_uri, database.name, users, broker=NO_BROKER, **by_mail, **settings
        ) as notifier:
            yield notifier, smtp


async def record(database: Database, *records: IncomingRecord) -> None:
    """Record events as another notifier would that sends mail."""
    owing = OwedToUsers(MongoPreferences(database), {"email"})
    await recorder_on(database, owing=[owing]).record_events(list(records))


def order(**changed_to: Any) -> MessageOrder:
    recipient = MessageRecipient(email=ANNS_ADDRESS, name="Ann", user_id=None, language="en")
    fields: dict[str, Any] = {
        "message_id": str(new_id()),
        "template": "reset_password",
        "recipient": recipient,
        "values": {"code": "ABCD-EFGH-JKLM", "link": "/auth/mailed-link?token=secret"},
        "expires_at": utc_now() + timedelta(hours=1),
    }
    return MessageOrder(**{**fields, **changed_to})


async def post(notifier: Notifier, message: MessageOrder) -> httpx.Response:
    headers = {"Content-Type": "application/json", **calls_of("user_api").header_for("notifier")}
    url = f"{notifier.url}/internal/messages"
    return await notifier.http.post(url, content=message.model_dump_json(), headers=headers)


async def arrival(smtp: SmtpOfTests, count: int) -> None:
    async def arrived() -> bool:
        return len(smtp.mails) >= count

    await eventually(arrived, found=lambda: smtp.recipients)


async def test_who_an_event_concerns_gets_a_mail_in_their_language(
    mongo_uri: str, notifier_database: Database, users: Users
) -> None:
    wants = Preferences(
        events=frozenset({NoticeType.MONEY_IN}), language=Language.CZECH, zone="Europe/Prague"
    )
    await MongoPreferences(notifier_database).save(BO.user_id, wants)
    first, second = new_id(), new_id()
    async with mailing(mongo_uri, notifier_database, users) as (_, smtp):
        await record(notifier_database, consumed(publishable(first, completed(first))))
        await record(notifier_database, consumed(publishable(second, failed(second))))
        await arrival(smtp, 2)
        await all_settled(notifier_database)
    [to_bo], [to_ann] = smtp.to(BOS_ADDRESS), smtp.to(ANNS_ADDRESS)
    assert "přišlo 12,34\u00a0EUR" in to_bo["Subject"]
    assert "Ann Berg (0000000017)" in text_of(to_bo)
    assert "Zpráva: rent" in text_of(to_bo)
    assert "/notifications/unsubscribe?token=" in to_bo["List-Unsubscribe"]
    assert to_ann["Subject"] == "A payment of 12.34\u00a0EUR was refused"
    assert "12.34\u00a0EUR" in text_of(to_ann)
    assert "No money." in text_of(to_ann)


async def test_security_goes_out_in_quiet_hours_and_the_rest_waits(
    mongo_uri: str, notifier_database: Database, users: Users
) -> None:
    now = utc_now()
    quiet = QuietHours((now - timedelta(hours=1)).time(), (now + timedelta(hours=1)).time())
    wants = Preferences(events=frozenset({NoticeType.ACCOUNT_CHANGED}), quiet_hours=quiet)
    await MongoPreferences(notifier_database).save(ANN.user_id, wants)
    async with mailing(mongo_uri, notifier_database, users) as (_, smtp):
        for change in ("opened", "frozen"):
            await record(notifier_database, consumed(publishable(new_id(), changed(change))))  # type: ignore[arg-type]
        await arrival(smtp, 1)

        async def news_waits() -> bool:
            waiting = await notifier_database["deliveries"].find_one({"is_urgent": False})
            return waiting is not None and waiting["due_at"] > now + timedelta(minutes=50)

        await eventually(news_waits)
    [mail] = smtp.to(ANNS_ADDRESS)
    assert mail["Subject"] == "Your account 0000000017 was frozen"
    assert "List-Unsubscribe" not in mail


async def test_an_ordered_message_goes_out_once_and_its_content_is_erased(
    mongo_uri: str, notifier_database: Database, users: Users
) -> None:
    async with mailing(mongo_uri, notifier_database, users) as (notifier, smtp):
        message = order()
        assert [(await post(notifier, message)).status_code for _ in range(3)] == [202] * 3
        await all_settled(notifier_database)
        assert (await post(notifier, message)).status_code == 202
        await all_settled(notifier_database)
    [mail] = smtp.to(ANNS_ADDRESS)
    assert "ABCD-EFGH-JKLM" in text_of(mail)
    assert "ABCD-EFGH-JKLM" in text_of(mail, "html")
    assert "ABCD" not in mail["Subject"]
    # Where people reach the bank stands in front of what user_api knows of the link.
    assert "https://localhost:8443/auth/mailed-link?token=secret" in text_of(mail)
    [kept] = await notifier_database["deliveries"].find().to_list()
    assert "ABCD" not in str(kept)
    assert "secret" not in str(kept)


async def test_an_order_that_can_never_be_written_is_refused_and_an_expired_one_not_sent(
    mongo_uri: str, notifier_database: Database, users: Users
) -> None:
    async with mailing(mongo_uri, notifier_database, users) as (notifier, smtp):
        unknown = await post(notifier, order(template="nothing"))
        missing = await post(notifier, order(values={}))
        assert [one.json()["code"] for one in (unknown, missing)] == ["unknown_template", "missing_value"]
        expired = order(expires_at=utc_now() - timedelta(seconds=1))
        assert (await post(notifier, expired)).status_code == 202
        await all_settled(notifier_database)
        assert await states_in(notifier_database) == {expired.message_id: "given_up"}
    assert smtp.mails == []


async def test_only_user_api_may_order(mongo_uri: str, notifier_database: Database, users: Users) -> None:
    async with running_here(mongo_uri, notifier_database.name, users, broker=NO_BROKER) as notifier:
        body = order().model_dump_json()
        for headers in ({}, calls_of("banking_api").header_for("notifier")):
            answer = await notifier.http.post(
                f"{notifier.url}/internal/messages",
                content=body,
                headers={"Content-Type": "application/json", **headers},
            )
            assert answer.status_code == 401
        # Without SMTP the order stays with user_api.
        assert (await post(notifier, order())).status_code == 503
    assert await notifier_database["deliveries"].count_documents({}) == 0


async def test_killed_notifiers_lose_nothing_and_repeat_only_what_was_on_its_way(
    mongo_uri: str, notifier_database: Database, users: Users, tmp_path: Path
) -> None:
    messages, at_once, kills = 60, 4, 3
    ids = [str(new_id()) for _ in range(messages)]

    async def slow_and_moody(recipient: str, before: int) -> str | None:
        await asyncio.sleep(0.02)
        if before == 0 and recipient.startswith("u1"):
            return "451 try later"
        return "cut" if before == 0 and recipient.startswith("u2") else None

    async with smtp_server() as smtp:
        smtp.at_data = slow_and_moody
        settings = {
            "smtp_host": "127.0.0.1",
            "smtp_port": str(smtp.port),
            "smtp_security": "none",
            "smtp_connections": str(at_once),
        }
        await owe(
            notifier_database,
            [_ordered(f"u{index % 10}@example.com", id_) for index, id_ in enumerate(ids)],
        )
        for kill in range(kills + 1):
            with notifier_process(
                mongo_uri,
                notifier_database.name,
                users[1],
                broker=NO_BROKER,
                log=tmp_path / "notifier.log",
                **settings,
            ) as (process, _):
                if kill < kills:
                    await arrival(smtp, (kill + 1) * messages // (kills + 1))
                    process.kill()
                else:
                    await all_settled(notifier_database)
    assert set((await states_in(notifier_database)).values()) == {"sent"}
    got = [mail["Message-ID"].partition("@")[0].strip("<") for mail in smtp.mails]
    stored = {str(one["_id"]) async for one in notifier_database["deliveries"].find()}
    assert set(got) == stored
    cut = 6
    assert len(got) <= messages + kills * at_once + cut
    for number in range(10):
        numbers = [mail["Subject"] for mail in smtp.to(f"u{number}@example.com")]
        assert len(numbers) >= messages // 10


def _ordered(address: str, message_id: str) -> Any:
    [owed] = messages_to("email", address, message_id)
    content = {
        "template": "test",
        "email": address,
        "name": "User",
        "user_id": None,
        "language": "en",
        "values": {},
        "expires_at": None,
    }
    return replace(owed, order=content)
