"""A customer's personal data are erased by two admins, and what the books and the audit name stays."""

from uuid import uuid4

from daemons.contracts.permissions import Role
from tests.support.user_api import PASSWORD, UserApi


async def test_two_admins_erase_a_customer_and_nothing_is_left_of_them(lone_user_api: UserApi) -> None:
    api = lone_user_api
    ada, abe, ann = [await api.person(role) for role in (Role.ADMIN, Role.ADMIN, Role.USER)]
    key = {"password": PASSWORD, "name": "ci", "scopes": ["use_own_accounts"]}
    assert (await ann.call("POST", "/auth/tokens", key)).status_code == 201
    assert (await ann.call("POST", "/auth/totp", {"password": PASSWORD})).status_code == 201
    taken = {"email": ann.email, "display_name": "Somebody", "password": PASSWORD}
    assert (await api.call("POST", "/users", taken)).status_code == 201

    # Codes that were mailed to her address, hers and those of a stranger who registers under it.
    assert (await api.call("POST", "/auth/reset", {"email": ann.email})).status_code == 204
    assert {one["email"] for one in api.stored("mail_requests")["mail_requests"]} >= {ann.email}

    asked = await ada.call("POST", f"/users/{ann.id}/erase", {"reason": "in writing"})
    assert (asked.status_code, asked.json()["act"]) == (202, "erase_user")
    approve = f"{asked.headers['Location']}/approve"
    assert (await ada.call("POST", approve)).json()["code"] == "own_request"
    assert (await ann.call("GET", "/users/me")).status_code == 200
    assert (await abe.call("POST", approve)).status_code == 200

    assert (await ann.call("GET", "/users/me")).status_code == 401
    login = {"email": ann.email, "password": PASSWORD}
    assert (await api.call("POST", "/auth/login", login)).json()["code"] == "invalid_credentials"
    erased = f"{ann.id}@erased.invalid"
    for password in (PASSWORD, " "):
        answer = await api.call("POST", "/auth/login", {"email": erased, "password": password})
        assert answer.json()["code"] == "invalid_credentials"
    shown = (await ada.call("GET", f"/users/{ann.id}")).json()
    assert (shown["email"], shown["display_name"], shown["locked"]) == (erased, "Erased user", True)
    left = api.stored(
        *("users", "sessions", "devices", "second_factors", "api_keys", "refused_registrations"),
        *("mail_requests", "owed_messages"),
    )
    assert ann.email not in str(left)
    of_users = [one for name, kept in left.items() if name != "users" for one in kept]
    assert [one for one in of_users if str(one.get("user_id")) == ann.id] == []

    [record] = [one for one in api.stored("audit")["audit"] if one["action"] == "erase_user"]
    assert record["reason"] == "in writing"
    assert record["approval"]["requested_by"]["user_id"] == ada.id
    assert (await ada.call("GET", "/audit/users/proof")).json()["holds"] is True
    again = await ada.call("POST", f"/users/{ann.id}/erase", {"reason": "x"})
    assert (again.status_code, again.json()["code"]) == (422, "user_erased")
    unlock = await ada.call("PATCH", f"/users/{ann.id}/unlock", {"reason": "x"})
    assert (unlock.status_code, unlock.json()["code"]) == (422, "user_erased")
    # The address is free again.
    assert (await api.call("POST", "/users", taken)).status_code == 201
    assert (await api.sign_in(ann.email)).id != ann.id


async def test_staff_and_nobody_are_not_erased(lone_user_api: UserApi) -> None:
    ada, abe = [await lone_user_api.person(Role.ADMIN) for _ in range(2)]
    staff = await ada.call("POST", f"/users/{abe.id}/erase", {"reason": "x"})
    assert (staff.status_code, staff.json()["code"]) == (422, "user_is_staff")
    nobody = await ada.call("POST", f"/users/{uuid4()}/erase", {"reason": "x"})
    assert nobody.json()["code"] == "user_not_found"
