"""Every act of an admin on a user stands in user_api's trail, those of the server's shell included."""

from typing import Any
from uuid import UUID, uuid4

from structlog.testing import capture_logs

from daemons.contracts.permissions import Role
from daemons.user_api.security_events import SecurityEvent
from tests.support.user_api import PASSWORD, Person, UserApi, new_email


async def records(reader: Person) -> list[dict[str, Any]]:
    """Return the administrative acts; the security events beside them have tests of their own."""
    answer = await reader.call("GET", "/audit/users?limit=200")
    assert answer.status_code == 200, answer.text
    events = {event.value for event in SecurityEvent}
    return [record for record in answer.json()["items"] if record["action"] not in events]


async def test_roles_locks_and_unlocks_are_told(user_api: UserApi) -> None:
    admin, person = await user_api.person(Role.ADMIN), await user_api.person()
    headers = {"X_Request_Id": "trace-9", "X_Forwarded_For": "192.0.2.9"}
    body = {"role": "support", "reason": "new colleague"}
    with capture_logs() as logs:
        await admin.call("PATCH", f"/users/{person.id}/role", body, **headers)
    assert [entry["action"] for entry in logs if entry["event"] == "administrative act"] == ["change_role"]
    await admin.call("PATCH", f"/users/{person.id}/lock", {"reason": "lost phone"})
    await admin.call("PATCH", f"/users/{person.id}/unlock", {"reason": "phone found"})

    unlocked, locked, changed, first = await records(admin)
    assert changed["actor"] == {"user_id": admin.id, "display_name": "Ann Other", "role": "admin"}
    assert changed["target"] == {"kind": "user", "id": person.id}
    assert (changed["reason"], changed["request_id"], changed["address"]) == (
        "new colleague",
        "trace-9",
        "192.0.2.9",
    )
    assert (changed["before"], changed["after"]) == (
        {"role": "user", "locked": False},
        {"role": "support", "locked": False},
    )
    assert (locked["action"], locked["after"]) == ("lock", {"role": "support", "locked": True})
    assert (unlocked["action"], unlocked["after"]) == ("unlock", {"role": "support", "locked": False})
    assert first["actor"] == {"user_id": None, "display_name": "the server's shell", "role": None}
    proof = (await admin.call("GET", "/audit/users/proof")).json()
    assert (proof["holds"], proof["head"]) == (True, {"count": unlocked["seq"], "hash": unlocked["hash"]})


async def test_what_changes_nothing_or_is_refused_is_not_told(user_api: UserApi) -> None:
    admin, person = await user_api.person(Role.ADMIN), await user_api.person()
    before = await records(admin)
    for act, body in (("role", {"role": "user", "reason": "x"}), ("unlock", {"reason": "x"})):
        assert (await admin.call("PATCH", f"/users/{person.id}/{act}", body)).status_code == 200
    refused = await admin.call("PATCH", f"/users/{admin.id}/lock", {"reason": "x"})
    assert refused.status_code == 422
    unknown = await admin.call("PATCH", f"/users/{uuid4()}/lock", {"reason": "x"})
    assert unknown.status_code == 404
    assert await records(admin) == before


async def test_users_made_from_the_shell_are_told_with_their_role(user_api: UserApi) -> None:
    admin = await user_api.person(Role.ADMIN)
    made = await user_api.users.register(
        email=new_email(), display_name="Olga", password=PASSWORD, role=Role.OPERATOR
    )
    other = await user_api.users.register(email=new_email(), display_name="Ulf", password=PASSWORD)
    last, newest, *_ = await records(admin)
    assert (last["target"]["id"], last["after"]["role"]) == (str(other.id), "user")
    assert (newest["action"], UUID(newest["target"]["id"])) == ("create_user", made.id)
    assert (newest["before"], newest["after"]) == (None, {"role": "operator", "locked": False})


async def test_an_act_without_its_record_does_not_happen(user_api: UserApi) -> None:
    admin, person = await user_api.person(Role.ADMIN), await user_api.person()
    await user_api.audit._heads.delete_many({})
    answer = await admin.call("PATCH", f"/users/{person.id}/lock", {"reason": "x"})
    assert answer.status_code == 500
    assert (await person.call("GET", "/users/me")).status_code == 200
