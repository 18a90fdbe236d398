"""Links in mail: pages that change nothing by being opened, and do by their form what the code does."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from html import unescape
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from daemons.user_api.mail.codes import MailedCodes, Purpose
from tests.service.user_api.test_second_factor import enrol
from tests.support.mail import PlayedNotifier
from tests.support.user_api import PASSWORD, MovableClock, StillClock, UserApi, new_email, running_user_api

NEW_PASSWORD = "eleven calm otters"


class Browser:
    """What a browser sends: no header of ours, no cookie, forms as their page says."""

    def __init__(self, api: UserApi) -> None:
        self._http = api.http

    async def open(self, link: str) -> httpx.Response:
        return await self._http.get(link)

    async def send(self, link: str, **fields: str) -> httpx.Response:
        page = await self.open(link)
        assert page.status_code == 200, page.text
        assert "<script" not in page.text
        [action] = re.findall(r'<form method="post" action="([^"]*)">', page.text)
        assert set(fields) <= set(re.findall(r'name="(\w+)"', page.text)) - {"viewport"}
        headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
        return await self._http.post(urlsplit(link).path + unescape(action), data=fields, headers=headers)


@pytest.fixture
async def api(mongo_uri: str, database_name: str, notifier: PlayedNotifier) -> AsyncIterator[UserApi]:
    """A daemon in which addresses are confirmed first, and whose time stands still."""
    settings = {"notifier_url": notifier.url, "registration_confirmed": "required"}
    async with running_user_api(mongo_uri, database_name, clock=StillClock(), **settings) as running:
        yield running


@pytest.fixture
def browser(api: UserApi) -> Browser:
    return Browser(api)


async def register(api: UserApi) -> str:
    email = new_email()
    body = {"email": email, "display_name": "Ann", "password": PASSWORD}
    assert (await api.call("POST", "/users", body)).status_code == 201
    return email


async def login(api: UserApi, email: str, password: str) -> httpx.Response:
    return await api.call("POST", "/auth/login", {"email": email, "password": password})


async def linked(notifier: PlayedNotifier, template: str, email: str) -> str:
    return (await notifier.message(template, email)).values["link"]


async def test_opening_a_link_changes_nothing_and_its_form_confirms_once(
    api: UserApi, browser: Browser, notifier: PlayedNotifier
) -> None:
    email = await register(api)
    link = await linked(notifier, "confirm_registration", email)
    assert (link.startswith("/auth/mailed-link?token="), email in link) == (True, False)
    before = api.stored("users", "mail_requests")
    for _ in range(3):
        page = await browser.open(link)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert api.stored("users", "mail_requests") == before
    assert before["users"] == []
    done = await browser.send(link, password=PASSWORD)
    assert (done.status_code, "Your address is confirmed" in done.text) == (200, True)
    assert (await login(api, email, PASSWORD)).json()["user"]["email_confirmed"]
    assert (await browser.open(link)).status_code == 404
    # The code is used up with it.
    code = await notifier.code("confirm_registration", email)
    body = {"email": email, "code": code, "password": PASSWORD}
    assert (await api.call("POST", "/users/confirm", body)).json()["code"] == "invalid_code"


async def test_a_link_needs_the_password_of_the_registration(
    api: UserApi, browser: Browser, notifier: PlayedNotifier
) -> None:
    email = await register(api)
    link = await linked(notifier, "confirm_registration", email)
    for fields in ({"password": "not that one"}, {"password": ""}):
        refused = await browser.send(link, **fields)
        assert refused.status_code in {401, 422}, refused.text
        # The page asks again, and says what was wrong.
        assert 'role="alert"' in refused.text
    assert api.stored()["users"] == []
    assert (await browser.send(link, password=PASSWORD)).status_code == 200


async def test_a_link_sets_a_new_password_and_asks_for_the_second_factor(
    api: UserApi, browser: Browser, notifier: PlayedNotifier
) -> None:
    email = await register(api)
    await browser.send(await linked(notifier, "confirm_registration", email), password=PASSWORD)
    enrolled = await enrol(await api.sign_in(email))
    await api.call("POST", "/auth/reset", {"email": email})
    link = await linked(notifier, "reset_password", email)
    assert (await browser.send(link, password=NEW_PASSWORD)).status_code == 401
    assert (await browser.send(link, password=NEW_PASSWORD, totp="000000")).status_code == 401
    weak = await browser.send(link, password="password", totp=enrolled.code())
    assert (weak.status_code, 'role="alert"' in weak.text) == (422, True)
    done = await browser.send(link, password=NEW_PASSWORD, totp=enrolled.code())
    assert (done.status_code, "You have a new password" in done.text) == (200, True)
    assert (await browser.open(link)).status_code == 404
    assert (await login(api, email, PASSWORD)).json()["code"] == "invalid_credentials"
    assert (await login(api, email, NEW_PASSWORD)).json()["code"] == "totp_required"


async def test_a_link_that_was_not_mailed_does_nothing(
    api: UserApi, browser: Browser, notifier: PlayedNotifier
) -> None:
    email = await register(api)
    link = await linked(notifier, "confirm_registration", email)
    [token] = parse_qs(urlsplit(link).query)["token"]
    [request] = api.stored("mail_requests")["mail_requests"]
    others = MailedCodes([b"another key of thirty-two bytes!"])
    forged = [
        ("A" if token[0] != "A" else "B") + token[1:],
        token[:-2] + ("AA" if token[-2:] != "AA" else "BB"),
        parse_qs(urlsplit(others.link(Purpose.REGISTRATION, request["_id"])).query)["token"][0],
    ]
    for one in forged:
        for answer in (
            await browser.open(f"/auth/mailed-link?token={one}"),
            await api.http.post(f"/auth/mailed-link?token={one}", data={"password": PASSWORD}),
        ):
            assert (answer.status_code, "does not work" in answer.text) == (404, True)
    for malformed in ("x", token + "A", "%3Cscript%3E"):
        answer = await browser.open(f"/auth/mailed-link?token={malformed}")
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert api.stored()["users"] == []


async def test_a_link_is_good_for_an_hour(api: UserApi, browser: Browser, notifier: PlayedNotifier) -> None:
    link = await linked(notifier, "confirm_registration", await register(api))
    assert isinstance(api.clock, MovableClock)
    api.clock.ahead += timedelta(minutes=59)
    assert (await browser.open(link)).status_code == 200
    api.clock.ahead += timedelta(minutes=1)
    assert (await browser.open(link)).status_code == 404


async def test_what_is_no_form_is_refused(api: UserApi, browser: Browser, notifier: PlayedNotifier) -> None:
    link = await linked(notifier, "confirm_registration", await register(api))
    for body, media_type in (
        (f'{{"password": "{PASSWORD}"}}', "application/json"),
        (f"password={PASSWORD}&password={PASSWORD}", "application/x-www-form-urlencoded"),
        (f"password={PASSWORD}&role=admin", "application/x-www-form-urlencoded"),
        ("password=%ff", "application/x-www-form-urlencoded"),
        ("", "application/x-www-form-urlencoded"),
    ):
        answer = await api.http.post(link, content=body, headers={"Content-Type": media_type})
        assert answer.status_code in {415, 422}, (body, answer.text)
    assert api.stored()["users"] == []


async def test_messages_whose_code_needs_more_have_no_link(
    api: UserApi, browser: Browser, notifier: PlayedNotifier
) -> None:
    email = await register(api)
    await browser.send(await linked(notifier, "confirm_registration", email), password=PASSWORD)
    person = await api.sign_in(email)
    body = {"new_email": (other := new_email()), "password": PASSWORD}
    assert (await person.call("POST", "/auth/email", body)).status_code == 204
    message = await notifier.message("confirm_new_address", other)
    assert ("code" in message.values, "link" in message.values) == (True, False)
