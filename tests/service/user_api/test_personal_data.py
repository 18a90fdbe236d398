"""Everything that user_api holds about a person is shown to that person, and names of staff are not."""

from daemons.contracts.permissions import Role
from tests.support.user_api import PASSWORD, UserApi


async def test_a_person_sees_what_is_held_about_them(user_api: UserApi) -> None:
    ada, ann = await user_api.person(Role.ADMIN), await user_api.person()
    assert (await ada.call("PATCH", f"/users/{ann.id}/lock", {"reason": "lost phone"})).status_code == 200
    assert (await ada.call("PATCH", f"/users/{ann.id}/unlock", {"reason": "found"})).status_code == 200
    ann = await user_api.sign_in(ann.email)
    taken = {"email": ann.email, "display_name": "Somebody", "password": PASSWORD}
    assert (await user_api.call("POST", "/users", taken)).status_code == 201
    answer = await ann.call("GET", "/users/me/data")
    held = answer.json()
    assert (held["user"]["id"], held["user"]["email"]) == (ann.id, ann.email)
    assert (held["second_factor"], held["known_devices"]) == (False, 2)
    assert len(held["refused_registrations"]) == 1
    assert held["signed_in_at"] is not None
    mailed = {(one["purpose"], one["email"]) for one in held["mail_requests"]}
    assert mailed == {("registration", ann.email)}
    actions = [record["action"] for record in held["records"]]
    assert actions == ["register", "sign_in", "lock", "unlock", "sign_in", "register.refused"]
    [lock] = [record for record in held["records"] if record["action"] == "lock"]
    assert (lock["reason"], lock["actor"]) == ("lost phone", {"role": "admin"})
    assert ada.id not in answer.text
    assert "argon2" not in answer.text
    assert (await user_api.call("GET", "/users/me/data")).status_code == 401
