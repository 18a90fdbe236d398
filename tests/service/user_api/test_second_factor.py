"""The second factor: enrolled by whoever has the password, asked at every sign-in, each code good once."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import pyotp
import pytest

from daemons.contracts.permissions import Role
from daemons.shared.audit.record import SHELL
from daemons.user_api.users.routes import USERS_KEY
from tests.support.user_api import (
    PASSWORD,
    SECRET,
    Person,
    StillClock,
    UserApi,
    new_email,
    refresh_token_in,
    running_user_api,
    token_in,
)

NEW_SECRET = "another secret of the tests, as long"


@dataclass
class Enrolled:
    """Somebody with a second factor, and what their app and their drawer hold."""

    person: Person
    secret: str
    recovery_codes: list[str]

    def code(self, steps: int = 0) -> str:
        now = self.person.api.clock() + timedelta(seconds=30 * steps)
        return pyotp.TOTP(self.secret).at(now)

    async def sign_in(self, totp: str | None = None, password: str = PASSWORD) -> httpx.Response:
        body = {"email": self.person.email, "password": password}
        if totp is not None:
            body["totp"] = totp
        return await self.person.api.call("POST", "/auth/login", body)


@pytest.fixture(scope="module")
async def user_api(mongo_uri: str) -> AsyncIterator[UserApi]:
    """One daemon for the tests of this module, whose time stands still."""
    async with running_user_api(mongo_uri, "second_factor_tests", clock=StillClock()) as api:
        yield api


@pytest.fixture
async def lone_user_api(mongo_uri: str, database_name: str) -> AsyncIterator[UserApi]:
    """A daemon with a database that no other test writes to, whose time stands still."""
    async with running_user_api(mongo_uri, database_name, clock=StillClock()) as api:
        yield api


async def enrol(person: Person, **more: str) -> Enrolled:
    begun = await person.call("POST", "/auth/totp", {"password": PASSWORD, **more})
    assert begun.status_code == 201, begun.text
    enrolled = Enrolled(person, begun.json()["secret"], [])
    # A step back, so that the present one is left for the test.
    confirmed = await person.call("POST", "/auth/totp/confirm", {"totp": enrolled.code(-1)})
    assert confirmed.status_code == 200, confirmed.text
    return replace(enrolled, recovery_codes=confirmed.json()["recovery_codes"])


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_sign_in_needs_both_factors(user_api: UserApi) -> None:
    enrolled = await enrol(await user_api.person())
    assert code_of(await enrolled.sign_in()) == (401, "totp_required")
    assert code_of(await enrolled.sign_in("000000")) == (401, "invalid_totp")
    done = await enrolled.sign_in(enrolled.code())
    assert done.status_code == 200
    assert done.json()["second_factor"] == "active"
    # Without the password a code tells nothing, and neither does its lack.
    assert code_of(await enrolled.sign_in(password="wrong words")) == (401, "invalid_credentials")
    assert code_of(await enrolled.sign_in(enrolled.code(1), "wrong words")) == (401, "invalid_credentials")


async def test_a_code_is_good_once_and_so_are_those_before_it(user_api: UserApi) -> None:
    enrolled = await enrol(await user_api.person())
    code = enrolled.code()
    answers = await asyncio.gather(*(enrolled.sign_in(code) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]
    for used in (code, enrolled.code(-1)):
        assert code_of(await enrolled.sign_in(used)) == (401, "invalid_totp")
    assert (await enrolled.sign_in(enrolled.code(1))).status_code == 200


@pytest.mark.parametrize("steps", [-9, -2, 3, 9])
async def test_a_code_counts_near_its_time_only(user_api: UserApi, steps: int) -> None:
    enrolled = await enrol(await user_api.person())
    assert code_of(await enrolled.sign_in(enrolled.code(steps))) == (401, "invalid_totp")


async def test_recovery_codes_are_shown_once_kept_as_digests_and_good_once(lone_user_api: UserApi) -> None:
    enrolled = await enrol(await lone_user_api.person())
    assert len(set(enrolled.recovery_codes)) == 10
    [kept] = lone_user_api.stored("second_factors")["second_factors"]
    digests = [hashlib.sha256(code.replace("-", "").encode()).digest() for code in enrolled.recovery_codes]
    assert kept["recovery_digests"] == digests
    assert enrolled.secret.encode() not in kept["sealed_secret"]
    assert not any(code in str(kept) for code in (enrolled.secret, *enrolled.recovery_codes))
    first, second, *_ = enrolled.recovery_codes
    assert (await enrolled.sign_in(first.lower().replace("-", " "))).status_code == 200
    assert code_of(await enrolled.sign_in(first)) == (401, "invalid_totp")
    assert (await enrolled.sign_in(second)).status_code == 200
    assert code_of(await enrolled.sign_in(first)) == (401, "invalid_totp")


async def test_enrolling_needs_the_password_and_a_code_and_ends_the_other_sessions(user_api: UserApi) -> None:
    person = await user_api.person()
    other = await user_api.sign_in(person.email)
    wrong = await person.call("POST", "/auth/totp", {"password": "wrong words"})
    assert code_of(wrong) == (401, "invalid_credentials")
    early = await person.call("POST", "/auth/totp/confirm", {"totp": "123456"})
    assert code_of(early) == (409, "totp_not_active")
    begun = (await person.call("POST", "/auth/totp", {"password": PASSWORD})).json()
    uri = urlsplit(begun["otpauth_uri"])
    assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
    assert parse_qs(uri.query)["secret"] == [begun["secret"]]
    missed = await person.call("POST", "/auth/totp/confirm", {"totp": "000000"})
    assert code_of(missed) == (401, "invalid_totp")
    # Nothing counts before it is confirmed.
    await user_api.sign_in(person.email)
    enrolled = await enrol(person)
    assert (await person.call("GET", "/auth/session")).json()["second_factor"] == "active"
    assert (await other.call("GET", "/auth/session")).status_code == 401
    again = await person.call("POST", "/auth/totp", {"password": PASSWORD})
    assert code_of(again) == (409, "totp_already_active")
    confirmed_again = await person.call("POST", "/auth/totp/confirm", {"totp": enrolled.code()})
    assert code_of(confirmed_again) == (409, "totp_already_active")


async def test_giving_it_up_needs_both_factors(user_api: UserApi) -> None:
    enrolled = await enrol(await user_api.person())
    person = enrolled.person

    async def remove(password: str, totp: str) -> httpx.Response:
        return await person.call("POST", "/auth/totp/remove", {"password": password, "totp": totp})

    assert code_of(await remove("wrong words", enrolled.code())) == (401, "invalid_credentials")
    assert code_of(await remove(PASSWORD, "000000")) == (401, "invalid_totp")
    assert (await remove(PASSWORD, enrolled.code())).status_code == 204
    assert (await enrolled.sign_in()).status_code == 200
    assert code_of(await remove(PASSWORD, "000000")) == (409, "totp_not_active")


async def test_codes_cannot_be_guessed_even_with_the_password(mongo_uri: str, database_name: str) -> None:
    async with running_user_api(mongo_uri, database_name, clock=StillClock(), account_free_failures=3) as api:
        enrolled = await enrol(await api.person())
        for _ in range(4):
            # What the password alone can do in between must not start the count anew.
            await enrolled.sign_in()
            await enrolled.person.call("POST", "/auth/totp", {"password": PASSWORD})
            assert code_of(await enrolled.sign_in("000000")) == (401, "invalid_totp")
        assert code_of(await enrolled.sign_in(enrolled.code())) == (429, "rate_limited")


@pytest.mark.parametrize("role", [Role.OPERATOR, Role.ADMIN])
async def test_a_role_that_needs_a_second_factor_may_only_enrol_before(
    mongo_uri: str, database_name: str, role: Role
) -> None:
    settings = {"totp_required_roles": "operator,admin"}
    async with running_user_api(mongo_uri, database_name, clock=StillClock(), **settings) as api:
        person = await api.person(role)
        assert (await person.call("GET", "/auth/session")).json()["second_factor"] == "required"
        passwords = {"current_password": PASSWORD, "new_password": "eleven loud herons"}
        key = {"password": PASSWORD, "name": "x", "scopes": ["read_users"]}
        for method, path, body in (
            ("GET", "/users", None),
            ("GET", "/auth/sessions", None),
            ("POST", "/auth/change-password", passwords),
            ("POST", "/auth/tokens", key),
            ("POST", "/auth/totp/remove", {"password": PASSWORD, "totp": "000000"}),
        ):
            answer = await person.call(method, path, body)
            assert code_of(answer) == (403, "second_factor_required"), path
        [told] = await api.verified(person.session_id)
        assert set(told["scopes"]) == {"signed_in", "use_own_session"}
        code = await api.administration.hand_out_enrolment_code(UUID(person.id), actor=SHELL, reason="new")
        enrolled = await enrol(person, enrolment_code=code.text)
        assert (await person.call("GET", "/users")).status_code == 200
        [told] = await api.verified(person.session_id)
        assert told["scopes"] is None
        assert (await enrolled.sign_in(enrolled.code())).status_code == 200
        support = await api.person(Role.SUPPORT)
        assert (await support.call("GET", "/users")).status_code == 200


async def test_staff_enrol_with_a_code_that_was_handed_out_and_works_once(
    mongo_uri: str, database_name: str
) -> None:
    clock = StillClock()
    settings = {"totp_required_roles": "support,admin"}
    async with running_user_api(mongo_uri, database_name, clock=clock, **settings) as api:
        sam = await api.person(Role.SUPPORT)
        ada = await api.person(Role.ADMIN)
        first = await api.administration.hand_out_enrolment_code(UUID(ada.id), actor=SHELL, reason="first")
        await enrol(ada, enrolment_code=first.text)

        async def begin(**more: str) -> tuple[int, str]:
            answer = await sam.call("POST", "/auth/totp", {"password": PASSWORD, **more})
            return answer.status_code, answer.json().get("code", "")

        async def handed_out(to: str = sam.id) -> dict[str, Any]:
            path = f"/users/{to}/enrolment-code"
            answer = await ada.call("POST", path, {"reason": "identity card seen"})
            return {"status": answer.status_code, **answer.json()}

        assert await begin() == (401, "enrolment_code_required")
        assert await begin(enrolment_code="AAAA-BBBB") == (401, "invalid_enrolment_code")
        early, code = await handed_out(), await handed_out()
        assert early["status"] == 201
        # A new one ends the one before.
        assert await begin(enrolment_code=early["code"]) == (401, "invalid_enrolment_code")
        assert (await begin(enrolment_code=code["code"].lower()))[0] == 201
        await enrol(sam, enrolment_code=code["code"])
        assert code["code"] not in str(api.stored("users", "audit"))
        assert (await handed_out())["code"] == "totp_already_active"
        assert (await handed_out(ada.id))["code"] == "self_lockout"
        # It is used up: a factor that was lost takes a new code.
        await api.administration.reset_second_factor(UUID(sam.id), actor=SHELL, reason="phone lost")
        sam = await api.sign_in(sam.email)
        assert await begin(enrolment_code=code["code"]) == (401, "invalid_enrolment_code")
        late = await handed_out()
        clock.ahead += timedelta(days=3)
        sam = await api.sign_in(sam.email)
        assert await begin(enrolment_code=late["code"]) == (401, "invalid_enrolment_code")


async def test_a_customer_enrols_without_a_code(user_api: UserApi) -> None:
    await enrol(await user_api.person())


async def test_a_password_that_somebody_else_chose_counts_once(user_api: UserApi) -> None:
    users = user_api.app[USERS_KEY]
    address = new_email()
    await users.register(
        email=address, display_name="Omar", password=PASSWORD, role=Role.OPERATOR, temporary=True
    )
    omar = await user_api.sign_in(address)
    [told] = await user_api.verified(omar.session_id)
    assert set(told["scopes"]) == {"signed_in", "use_own_session", "change_own_password"}
    for path in ("/users", "/auth/sessions", "/audit/users"):
        assert code_of(await omar.call("GET", path)) == (403, "password_change_required")
    body = {"current_password": PASSWORD, "new_password": PASSWORD, "end_other_sessions": False}
    same = await omar.call("POST", "/auth/change-password", body)
    assert (same.status_code, same.json()["errors"][0]["field"]) == (422, "new_password")
    other = await omar.call("POST", "/auth/change-password", {**body, "new_password": "eleven loud herons"})
    assert other.status_code == 204
    assert (await omar.call("GET", "/users")).status_code == 200
    [told] = await user_api.verified(omar.session_id)
    assert told["scopes"] is None


async def test_a_session_begun_before_the_promotion_is_worth_no_more(
    mongo_uri: str, database_name: str
) -> None:
    async with running_user_api(mongo_uri, database_name, totp_required_roles="operator") as api:
        person = await api.person(Role.OPERATOR)
        refreshed = await api.refresh(person.refresh_token)
        assert refreshed.json()["second_factor"] == "required"
        answer = await api.call("GET", "/users", token=token_in(refreshed))
        assert code_of(answer) == (403, "second_factor_required")
        assert refresh_token_in(refreshed)


async def test_a_lost_factor_is_reset_from_the_shell_and_the_audit_is_told(lone_user_api: UserApi) -> None:
    enrolled = await enrol(await lone_user_api.person())
    user_id = UUID(enrolled.person.id)
    await lone_user_api.administration.reset_second_factor(user_id, actor=SHELL, reason="phone lost")
    assert (await enrolled.person.call("GET", "/auth/session")).status_code == 401
    record = lone_user_api.stored("audit")["audit"][-1]
    person = await lone_user_api.sign_in(enrolled.person.email)
    assert (record["action"], record["reason"]) == ("reset_second_factor", "phone lost")
    assert record["before"]["second_factor"]
    assert "second_factor" not in record["after"]
    # And they can enrol anew.
    assert (await person.call("POST", "/auth/totp", {"password": PASSWORD})).status_code == 201


async def test_a_new_secret_keeps_second_factors_for_good(mongo_uri: str, database_name: str) -> None:
    async with running_user_api(mongo_uri, database_name, clock=StillClock()) as api:
        enrolled = await enrol(await api.person())
    clock = StillClock(timedelta(seconds=60))
    both = {"secret": NEW_SECRET, "jwt_secret_previous": SECRET}
    async with running_user_api(mongo_uri, database_name, clock=clock, **both) as api:
        moved = replace(enrolled, person=replace(enrolled.person, api=api))
        assert (await moved.sign_in(moved.code())).status_code == 200
    clock = StillClock(timedelta(seconds=120))
    async with running_user_api(mongo_uri, database_name, clock=clock, secret=NEW_SECRET) as api:
        moved = replace(enrolled, person=replace(enrolled.person, api=api))
        assert (await moved.sign_in(moved.code())).status_code == 200
    # A secret that was replaced without its predecessor: the recovery codes do not need it.
    async with running_user_api(mongo_uri, database_name, clock=StillClock(), secret=SECRET) as api:
        moved = replace(enrolled, person=replace(enrolled.person, api=api))
        assert code_of(await moved.sign_in(moved.code(9))) == (401, "invalid_totp")
        assert (await moved.sign_in(enrolled.recovery_codes[0])).status_code == 200
