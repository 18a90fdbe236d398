"""What two admins do to a user, field by field, and how user_api sees its own callers again."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pyotp
import pytest

from daemons.contracts.errors import ConflictError, ForbiddenError, UnauthenticatedError
from daemons.contracts.permissions import Permission, Role
from daemons.shared.approvals.approval import Approval, Standing
from daemons.shared.approvals.policy import GuardedAct, StaffPolicy
from daemons.shared.audit.record import SHELL, Actor, AuditEntry
from daemons.shared.clock import utc_now
from daemons.shared.http.routes import AUTHENTICATOR_KEY
from daemons.shared.mongo import run_transaction
from daemons.user_api.users.requesters import Requesters
from daemons.user_api.users.service import creation_of
from daemons.user_api.users.user import User
from tests.support.policies import asking_for
from tests.support.user_api import PASSWORD, Person, StandingClock, UserApi, running_user_api
from tests.support.user_audit import trail


@pytest.mark.parametrize(
    ("act", "body", "asked_as", "after"),
    [
        ("role", {"role": "support"}, "change_role", {"role": "support", "locked": False}),
        ("lock", {}, "lock_staff", {"role": "operator", "locked": True}),
    ],
)
async def test_the_record_of_an_approved_act_names_both_and_what_changed(
    mongo_uri: str, database_name: str, act: str, body: dict[str, str], asked_as: str, after: dict[str, Any]
) -> None:
    policy = asking_for("change_role", "lock_staff", "unlock_staff")
    async with running_user_api(mongo_uri, database_name, staff_policy=policy) as api:
        ada, abe, person = [await api.person(role) for role in (Role.ADMIN, Role.ADMIN, Role.OPERATOR)]
        before = {"role": "operator", "locked": False}

        async def decided(act: str, body: dict[str, str]) -> None:
            asked = await ada.call("PATCH", f"/users/{person.id}/{act}", {**body, "reason": "left"})
            assert asked.status_code == 202, asked.text
            request = asked.json()
            assert request["target"] == {"kind": "user", "id": person.id}
            answer = await abe.call("POST", f"{asked.headers['Location']}/approve")
            assert (answer.status_code, answer.json()["status"]) == (200, "approved")
            record = trail(api)[-1]
            assert record["approval"]["id"] == request["id"]
            assert record["approval"]["requested_by"]["user_id"] == ada.id

        await decided(act, body)
        requested, done = trail(api)[-2:]
        assert (requested["action"], requested["actor"]["user_id"]) == (f"{asked_as}.requested", ada.id)
        assert (done["action"], done["actor"]["user_id"]) == (
            "change_role" if act == "role" else "lock",
            abe.id,
        )
        assert (done["target"], done["reason"]) == ({"kind": "user", "id": person.id}, "left")
        assert (done["before"], done["after"]) == (before, after)
        assert (await person.call("GET", "/users/me")).status_code == 401
        if act == "lock":
            await decided("unlock", {})
            newest = trail(api)[-1]
            assert (newest["action"], newest["before"], newest["after"]) == ("unlock", after, before)
            await api.sign_in(person.email)


async def test_how_those_who_asked_stand_is_read_and_held_in_the_act(lone_user_api: UserApi) -> None:
    api = lone_user_api
    requesters = Requesters(api.database, StaffPolicy(), clock=utc_now)
    admin, operator, other = [await api.person(role) for role in (Role.ADMIN, Role.OPERATOR, Role.ADMIN)]
    ids = [UUID(one.id) for one in (admin, operator)]
    lost = {one["_id"]: one.get("rights_lost_at") for one in api.stored("users")["users"]}
    assert await requesters.standings([*ids, uuid4()]) == {
        ids[0]: Standing(role=Role.ADMIN, locked=False, rights_lost_at=lost[ids[0]]),
        ids[1]: Standing(role=Role.OPERATOR, locked=False, rights_lost_at=lost[ids[1]]),
    }
    now = utc_now()

    def request(act: GuardedAct, by: UUID) -> Approval:
        return Approval(
            id=uuid4(),
            act=act,
            target_kind="user",
            target_id="x",
            reason=None,
            parameters={},
            requester_id=by,
            requested_by={},
            requested_at=now,
            expires_at=now + timedelta(hours=1),
        )

    async def held(approval: Approval, by: Person = other) -> bool:
        refusals: list[tuple[str, str]] = []
        approver = Actor(user_id=UUID(by.id), display_name="Abe", role="admin", address="-", request_id="-")
        try:
            await run_transaction(
                api.audit.client, lambda session: requesters.hold(approval, approver, session)
            )
        except ConflictError as refused:
            refusals = [(refused.code, refused.message.rpartition(" ")[0])]
        told = "This request counts no longer: who asked was locked or given another role just"
        assert refusals in ([], [("approval_withdrawn", told)])
        return not refusals

    assert await held(request(GuardedAct.CHANGE_ROLE, ids[0]))
    assert await held(request(GuardedAct.FUND, ids[0]))
    assert await held(request(GuardedAct.FUND, ids[1]))
    assert not await held(request(GuardedAct.CHANGE_ROLE, ids[1]))
    assert not await held(request(GuardedAct.FUND, uuid4()))
    # Nor does it count who approves without the right to it.
    with pytest.raises(ForbiddenError, match="locked or given another role just now"):
        await held(request(GuardedAct.CHANGE_ROLE, ids[0]), operator)
    changed = {"locked": True, "rights_lost_at": now}
    await api.database["users"].update_one({"_id": ids[0]}, {"$set": changed})
    assert not await held(request(GuardedAct.CHANGE_ROLE, ids[0]))
    # Lost since it was asked, and given back.
    await api.administration.change_role(ids[1], Role.USER, actor=SHELL, reason="x")
    await api.administration.change_role(ids[1], Role.OPERATOR, actor=SHELL, reason="x")
    assert not await held(request(GuardedAct.FUND, ids[1]))
    later = replace(request(GuardedAct.FUND, ids[1]), requested_at=utc_now() + timedelta(seconds=1))
    assert await held(later)


async def test_a_caller_is_renewed_as_long_as_session_or_key_lives(user_api: UserApi) -> None:
    own = user_api.app[AUTHENTICATOR_KEY]
    person = await user_api.person(Role.SUPPORT)
    caller = await own.authenticate(person.token)
    assert (caller.user_id, caller.session_id) == (UUID(person.id), UUID(person.session_id))
    assert (caller.role, caller.display_name, caller.scopes) == (Role.SUPPORT, "Ann Other", None)
    assert await own.renew(caller) == caller
    body = {"password": PASSWORD, "name": "x", "scopes": ["read_users"]}
    made = (await person.call("POST", "/auth/tokens", body)).json()
    script = await own.authenticate_key(made["token"])
    assert (script.user_id, script.session_id) == (UUID(person.id), UUID(made["key"]["id"]))
    assert script.scopes == frozenset({Permission.READ_USERS, Permission.SIGNED_IN})
    assert await own.renew(script) == script
    await person.call("DELETE", f"/auth/tokens/{made['key']['id']}")
    with pytest.raises(UnauthenticatedError) as key_refused:
        await own.renew(script)
    assert key_refused.value.code == "not_signed_in"
    for stranger in (replace(caller, user_id=uuid4()), replace(caller, session_id=uuid4())):
        with pytest.raises(UnauthenticatedError) as refused:
            await own.renew(stranger)
        assert refused.value.code == "session_ended"


def test_a_user_whom_the_shell_makes_is_recorded_with_the_role() -> None:
    made_at = utc_now()
    admin = User(
        id=UUID(int=7),
        email="ada@example.com",
        display_name="Ada",
        role=Role.ADMIN,
        locked=False,
        created_at=made_at,
        password_hash="",
    )
    assert creation_of(admin) == AuditEntry(
        at=made_at,
        actor=SHELL,
        action="create_user",
        target_kind="user",
        target_id="00000000-0000-0000-0000-000000000007",
        reason=None,
        before=None,
        after={"role": "admin", "locked": False},
    )


async def test_guesses_at_a_code_are_the_users_own_and_both_factors_together_forget_them(
    mongo_uri: str, database_name: str
) -> None:
    clock = StandingClock()
    async with running_user_api(mongo_uri, database_name, clock=clock, account_free_failures=2) as api:
        person = await api.person()
        begun = await person.call("POST", "/auth/totp", {"password": PASSWORD})
        app = pyotp.TOTP(begun.json()["secret"])
        await person.call("POST", "/auth/totp/confirm", {"totp": app.at(clock())})
        body = {"password": PASSWORD, "name": "x", "scopes": ["use_own_accounts"]}

        async def make(code: str) -> int:
            answer = await person.call("POST", "/auth/tokens", {**body, "totp": code})
            return answer.status_code

        for _ in range(2):
            assert [await make("000000"), await make("000000")] == [401, 401]
            clock.ahead += timedelta(seconds=30)
            assert await make(app.at(clock())) == 201
        refusals = trail(api, "confirmation.refused")
        assert {one["actor"]["user_id"] for one in refusals} == {person.id}
        assert {one["reason"] for one in refusals} == {"invalid_totp"}
