"""Messages that user_api owes: kept with what they tell, tried until the notifier has taken each."""

from datetime import timedelta

import pytest

from daemons.contracts.names import Language
from daemons.shared.ids import new_id
from daemons.user_api.mail.codes import Purpose
from daemons.user_api.mail.message import CodeOf, OwedMessage, Template
from tests.support.mail import TEXTS, PlayedNotifier
from tests.support.user_api import MovableClock, UserApi, running_user_api
from tests.support.waiting import eventually


@pytest.mark.parametrize("template", Template)
def test_every_message_has_a_text_in_every_language(template: Template) -> None:
    names = (
        "code",
        "link",
        "at",
        "address",
        "device",
        "key_name",
        "scopes",
        "until",
        "new_email",
        "new_name",
        "name",
    )
    for language in Language:
        written = TEXTS.write(template.value, language, {name: f"value of {name}" for name in names})
        assert written.subject
        assert "value of name" in written.text


async def owe(api: UserApi, email: str, *, decoy: bool = False) -> OwedMessage:
    now = api.clock()
    message = OwedMessage(
        template=Template.RESET_PASSWORD,
        email=email,
        name="Ann",
        user_id=None,
        values={"minutes": "60"},
        code=CodeOf(purpose=Purpose.PASSWORD_RESET, request_id=new_id()),
        owed_at=now,
        expires_at=now + timedelta(hours=1),
        decoy=decoy,
    )
    async for attempt in api.users._work.attempts(recorded=False):
        async with attempt as tx:
            await tx.messages.owe(message)
    return message


def owed(api: UserApi) -> list[str]:
    return [one["email"] for one in api.stored("owed_messages")["owed_messages"]]


async def nothing_is_owed(api: UserApi) -> None:
    async def condition() -> bool:
        return not owed(api)

    await eventually(condition, found=lambda: owed(api))


async def test_an_owed_message_is_ordered_once_and_owed_no_longer(
    mongo_uri: str, database_name: str, notifier: PlayedNotifier
) -> None:
    async with running_user_api(mongo_uri, database_name, notifier_url=notifier.url) as api:
        message = await owe(api, "ann@example.com")
        order = await notifier.message("reset_password", "ann@example.com")
        await nothing_is_owed(api)
    assert (order.message_id, order.recipient.name) == (str(message.id), "Ann")
    assert order.values["minutes"] == "60"
    assert order.expires_at == message.expires_at
    assert len(notifier.orders) == 1


async def test_the_code_of_a_message_is_nowhere_in_the_database(
    mongo_uri: str, database_name: str, notifier: PlayedNotifier
) -> None:
    async with running_user_api(mongo_uri, database_name) as api:
        await owe(api, "ann@example.com")
        kept = api.stored("owed_messages")
    async with running_user_api(mongo_uri, database_name, notifier_url=notifier.url):
        code = await notifier.code("reset_password", "ann@example.com")
    assert len(code.replace("-", "")) == 16
    assert code not in str(kept)
    assert code.replace("-", "") not in str(kept)


async def test_a_message_is_tried_again_until_it_is_taken(
    mongo_uri: str, database_name: str, notifier: PlayedNotifier
) -> None:
    clock = MovableClock()
    async with running_user_api(mongo_uri, database_name, clock=clock, notifier_url=notifier.url) as api:
        notifier.status = 500
        await owe(api, "ann@example.com")
        await notifier.message("reset_password", "ann@example.com")
        assert owed(api) == ["ann@example.com"]
        # One that is refused keeps no other waiting.
        notifier.status = 202
        await owe(api, "bob@example.com")
        await notifier.message("reset_password", "bob@example.com")
        clock.ahead += timedelta(seconds=2)
        await notifier.message("reset_password", "ann@example.com", count=2)
        await nothing_is_owed(api)
    [first, again] = [one for one in notifier.orders if one.recipient.email == "ann@example.com"]
    assert first == again


async def test_the_bank_serves_without_the_notifier_and_says_what_waits(
    mongo_uri: str, database_name: str, notifier: PlayedNotifier
) -> None:
    clock = MovableClock()
    async with running_user_api(
        mongo_uri, database_name, clock=clock, notifier_url="http://127.0.0.1:9"
    ) as api:
        await owe(api, "ann@example.com")
        await api.person()
        assert "messages" not in (await api.http.get("/readyz")).json().get("notices", {})
        clock.ahead += timedelta(minutes=1)
        ready = await api.http.get("/readyz")
        assert ready.status_code == 200
        assert "messages to people wait since" in ready.json()["notices"]["messages"]
    # Another process sends what the first one could not.
    async with running_user_api(mongo_uri, database_name, clock=clock, notifier_url=notifier.url):
        await notifier.message("reset_password", "ann@example.com")


async def test_what_is_out_of_date_and_what_was_never_meant_to_be_sent_is_removed(
    mongo_uri: str, database_name: str, notifier: PlayedNotifier
) -> None:
    async with running_user_api(mongo_uri, database_name, notifier_url="http://127.0.0.1:9") as api:
        await owe(api, "old@example.com")
    later = MovableClock(timedelta(hours=2))
    async with running_user_api(mongo_uri, database_name, clock=later, notifier_url=notifier.url) as api:
        await owe(api, "nobody@example.com", decoy=True)
        await owe(api, "ann@example.com")
        await notifier.message("reset_password", "ann@example.com")
        await nothing_is_owed(api)
    assert [one.recipient.email for one in notifier.orders] == ["ann@example.com"]
