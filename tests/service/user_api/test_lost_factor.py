"""A lost second factor: removed after a wait that its owner can stop, or by two administrators."""

from datetime import timedelta

import httpx

from daemons.contracts.permissions import Role
from tests.service.user_api.test_second_factor import Enrolled, enrol
from tests.support.mail import PlayedNotifier
from tests.support.user_api import PASSWORD, MovableClock, UserApi


async def report(api: UserApi, email: str, password: str = PASSWORD) -> httpx.Response:
    return await api.call("POST", "/auth/totp/lost", {"email": email, "password": password})


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def ahead(api: UserApi, hours: float) -> None:
    assert isinstance(api.clock, MovableClock)
    api.clock.ahead += timedelta(hours=hours)


async def has_factor(enrolled: Enrolled) -> bool:
    answer = await enrolled.sign_in()
    return answer.status_code == 401


async def test_it_is_removed_after_the_wait_and_not_before(api: UserApi, notifier: PlayedNotifier) -> None:
    enrolled = await enrol(await api.person())
    email = enrolled.person.email
    begun = await report(api, email)
    assert (begun.status_code, begun.json()["removed"]) == (200, False)
    await notifier.message("second_factor_lost", email)
    ahead(api, 71)
    again = await report(api, email)
    assert again.json() == begun.json()
    assert await has_factor(enrolled)
    ahead(api, 1)
    assert (await report(api, email)).json()["removed"]
    assert (await enrolled.sign_in()).status_code == 200
    await notifier.message("second_factor_removed", email)
    assert code_of(await report(api, email)) == (409, "totp_not_active")
    actions = [one["action"] for one in api.stored("audit")["audit"] if "second_factor" in one["action"]]
    assert actions[-2:] == ["lose_second_factor", "remove_second_factor"]
    # It was said once, however often it was asked.
    assert [one.template for one in notifier.orders].count("second_factor_lost") == 1


async def test_its_owner_stops_it_by_the_mail(api: UserApi, notifier: PlayedNotifier) -> None:
    enrolled = await enrol(await api.person())
    email = enrolled.person.email
    await report(api, email)
    code = await notifier.code("second_factor_lost", email)
    wrong = {"email": email, "code": "AAAA-BBBB-CCCC-DDDD"}
    assert code_of(await api.call("POST", "/auth/totp/keep", wrong)) == (401, "invalid_code")
    kept = await api.call("POST", "/auth/totp/keep", {"email": email, "code": code})
    assert kept.status_code == 204
    ahead(api, 72)
    assert not (await report(api, email)).json()["removed"]
    assert await has_factor(enrolled)


async def test_a_sign_in_with_it_stops_it(api: UserApi, notifier: PlayedNotifier) -> None:
    enrolled = await enrol(await api.person())
    await report(api, enrolled.person.email)
    ahead(api, 71)
    assert (await enrolled.sign_in(enrolled.code())).status_code == 200
    ahead(api, 1)
    assert not (await report(api, enrolled.person.email)).json()["removed"]


async def test_what_nobody_carried_out_for_a_week_begins_anew(api: UserApi, notifier: PlayedNotifier) -> None:
    enrolled = await enrol(await api.person())
    await report(api, enrolled.person.email)
    ahead(api, 72 + 7 * 24)
    assert not (await report(api, enrolled.person.email)).json()["removed"]


async def test_only_who_knows_the_password_can_begin_it_and_no_staff(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    enrolled = await enrol(await api.person())
    email = enrolled.person.email
    assert code_of(await report(api, email, "wrong words")) == (401, "invalid_credentials")
    assert code_of(await report(api, "nobody@example.com")) == (401, "invalid_credentials")
    plain = await api.person()
    assert code_of(await report(api, plain.email)) == (409, "totp_not_active")
    staff = await enrol(await api.person(Role.SUPPORT))
    assert code_of(await report(api, staff.person.email)) == (403, "staff_second_factor")


async def test_two_administrators_reset_it_and_nobody_their_own(
    api: UserApi, notifier: PlayedNotifier
) -> None:
    enrolled = await enrol(await api.person())
    ada, bea = await api.person(Role.ADMIN), await api.person(Role.ADMIN)
    path = f"/users/{enrolled.person.id}/reset-second-factor"
    reason = {"reason": "phone lost, passport seen"}
    asked = await ada.call("PATCH", path, reason)
    assert asked.status_code == 202
    approve = f"/approvals/users/{asked.json()['id']}/approve"
    assert code_of(await ada.call("POST", approve, {})) == (403, "own_request")
    assert await has_factor(enrolled)
    assert (await bea.call("POST", approve, {})).status_code == 200
    assert (await enrolled.sign_in()).status_code == 200
    assert (await enrolled.person.call("GET", "/auth/session")).status_code == 401
    [record] = [one for one in api.stored("audit")["audit"] if one["action"] == "reset_second_factor"]
    assert record["actor"]["user_id"] == bea.id
    assert record["approval"]["requested_by"]["user_id"] == ada.id
    await notifier.message("second_factor_removed", enrolled.person.email)
    assert code_of(await ada.call("PATCH", path, reason)) == (409, "no_second_factor")
    own = f"/users/{ada.id}/reset-second-factor"
    assert code_of(await ada.call("PATCH", own, reason)) == (422, "own_second_factor")
    of_bea = await enrol(bea)
    asked = await ada.call("PATCH", f"/users/{bea.id}/reset-second-factor", reason)
    again = await of_bea.sign_in(of_bea.code())
    assert again.status_code == 200
    approve = f"/approvals/users/{asked.json()['id']}/approve"
    assert code_of(await bea.call("POST", approve, {})) == (422, "own_second_factor")
