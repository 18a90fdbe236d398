"""Acts that wait for a second person: requested, decided once, by somebody else, in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from daemons.contracts.permissions import Role
from daemons.shared.approvals.approval import LIFETIME, Standing
from daemons.shared.audit.record import SHELL
from daemons.shared.clock import utc_now
from tests.support.bank import CLOSED_PORT, Bank, Person, running_bank
from tests.support.policies import asking_for
from tests.support.user_api import MovableClock, UserApi, running_user_api
from tests.support.user_api import Person as UserPerson


@pytest.fixture(scope="module")
async def careful_bank(mongo_uri: str) -> AsyncIterator[Bank]:
    """A bank where unfreezing, and funding of more than 100 euro a day or of other money, take two."""
    policy = {"staff_policy": asking_for("unfreeze", "fund", alone={"EUR": 100})}
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT, banking=policy) as bank:
        yield bank


class Staff:
    """Alice with a frozen account, and two operators."""

    def __init__(self, alice: Person, olga: Person, omar: Person, account: str) -> None:
        self.alice, self.olga, self.omar, self.account = alice, olga, omar, account

    async def ask_to_unfreeze(self) -> dict[str, Any]:
        answer = await self.olga.patch(f"/accounts/{self.account}/unfreeze", {"reason": "lifted"})
        assert answer.status_code == 202, answer.text
        request: dict[str, Any] = answer.json()
        assert answer.headers["Location"] == f"/approvals/ledger/{request['id']}"
        return request

    async def status(self) -> str:
        return str((await self.alice.get(f"/accounts/{self.account}")).json()["status"])

    async def trail(self) -> list[dict[str, Any]]:
        answer = await self.olga.get(f"/audit/ledger?target={self.account}")
        return list(answer.json()["items"])


@pytest.fixture
async def staff(careful_bank: Bank) -> Staff:
    alice = await careful_bank.person()
    olga, omar = [await careful_bank.person(name, "operator") for name in ("Olga", "Omar")]
    account = await alice.open_account()
    assert (await olga.patch(f"/accounts/{account}/freeze", {"reason": "x"})).status_code == 200
    return Staff(alice, olga, omar, account)


async def approve(person: Person, request: dict[str, Any]) -> httpx.Response:
    return await person.call("POST", f"/approvals/ledger/{request['id']}/approve")


async def reject(person: Person, request: dict[str, Any]) -> httpx.Response:
    return await person.post(f"/approvals/ledger/{request['id']}/reject", {"reason": "not yet"})


async def test_a_second_person_lets_it_happen_and_the_record_names_both(staff: Staff) -> None:
    request = await staff.ask_to_unfreeze()
    assert (request["status"], request["act"]) == ("pending", "unfreeze")
    assert request["target"] == {"kind": "account", "id": staff.account}
    assert await staff.status() == "frozen"
    [listed] = (await staff.omar.get("/approvals/ledger?status=pending&limit=1")).json()["items"]
    assert listed == request

    done = (await approve(staff.omar, request)).json()
    assert (done["status"], done["decided_by"]["display_name"]) == ("approved", "Omar")
    assert await staff.status() == "active"
    act, requested, _ = await staff.trail()
    assert (requested["action"], requested["actor"]["display_name"]) == ("unfreeze.requested", "Olga")
    assert (act["action"], act["actor"]["display_name"], act["reason"]) == ("unfreeze", "Omar", "lifted")
    assert act["approval"]["id"] == request["id"]
    assert act["approval"]["requested_by"]["display_name"] == "Olga"
    assert (await staff.olga.get("/audit/ledger/proof")).json()["holds"] is True


async def test_nobody_approves_their_own_request(staff: Staff) -> None:
    request = await staff.ask_to_unfreeze()
    answer = await approve(staff.olga, request)
    assert (answer.status_code, answer.json()["code"]) == (403, "own_request")
    assert await staff.status() == "frozen"
    query = f"action=access.refused&actor={staff.olga.user_id}"
    [told] = (await staff.omar.get(f"/audit/ledger?{query}")).json()["items"]
    assert (told["reason"], told["after"]["path"]) == (
        "own_request",
        f"/approvals/ledger/{request['id']}/approve",
    )


async def test_those_without_the_permission_approve_nothing(careful_bank: Bank, staff: Staff) -> None:
    request = await staff.ask_to_unfreeze()
    for role in ("user", "support"):
        person = await careful_bank.person("Pat", role)
        assert (await approve(person, request)).status_code == 403
        assert (await reject(person, request)).status_code == 403
    assert await staff.status() == "frozen"


async def test_a_rejected_request_stays_rejected(staff: Staff) -> None:
    request = await staff.ask_to_unfreeze()
    rejected = (await reject(staff.omar, request)).json()
    assert (rejected["status"], rejected["decision_reason"]) == ("rejected", "not yet")
    for again in (await approve(staff.omar, request), await reject(staff.omar, request)):
        assert (again.status_code, again.json()["code"]) == (409, "approval_decided")
    assert await staff.status() == "frozen"
    assert next(record["action"] for record in await staff.trail()) == "unfreeze.rejected"


async def test_an_expired_request_can_only_be_made_anew(careful_bank: Bank, staff: Staff) -> None:
    request = await staff.ask_to_unfreeze()
    past = utc_now() - timedelta(seconds=1)
    await careful_bank.ledger["approvals"].update_many({}, {"$set": {"expires_at": past}})
    shown = (await staff.omar.get(f"/approvals/ledger/{request['id']}")).json()
    assert shown["status"] == "expired"
    for late in (await approve(staff.omar, request), await reject(staff.omar, request)):
        assert (late.status_code, late.json()["code"]) == (409, "approval_expired")
    listed = (await staff.omar.get("/approvals/ledger?status=expired")).json()["items"]
    assert request["id"] in [item["id"] for item in listed]
    assert await staff.status() == "frozen"


async def test_many_who_approve_at_once_do_it_once(careful_bank: Bank, staff: Staff) -> None:
    await staff.olga.patch(f"/accounts/{staff.account}/unfreeze", {"reason": "x"})
    account = await staff.alice.open_account()
    asked = await staff.olga.fund(account, "500.00")
    assert asked.status_code == 202
    approvers = [staff.omar, *[await careful_bank.person(f"O{n}", "operator") for n in range(3)]]
    answers = await asyncio.gather(*(approve(one, asked.json()) for one in approvers for _ in range(3)))
    assert sorted({answer.status_code for answer in answers}) == [200, 409]
    assert [answer.status_code for answer in answers].count(200) == 1
    assert await staff.alice.balance(account) == "500.00"
    funded = (await staff.olga.get(f"/audit/ledger?target={account}&action=fund")).json()["items"]
    assert len(funded) == 1


async def test_approving_and_rejecting_at_once_does_one_of_both(staff: Staff) -> None:
    for _ in range(5):
        request = await staff.ask_to_unfreeze()
        yes, no = await asyncio.gather(approve(staff.omar, request), reject(staff.omar, request))
        assert sorted((yes.status_code, no.status_code)) == [200, 409]
        assert await staff.status() == ("active" if yes.status_code == 200 else "frozen")
        await staff.olga.patch(f"/accounts/{staff.account}/freeze", {"reason": "again"})


async def test_one_person_funds_up_to_the_limit_in_a_day_and_no_more(
    careful_bank: Bank, staff: Staff
) -> None:
    account, other = await staff.alice.open_account(), await staff.alice.open_account()
    assert (await staff.olga.fund(account, "100.01")).status_code == 202
    assert (await staff.olga.fund(staff.account, "50.00")).json()["code"] == "account_frozen"
    assert (await staff.olga.fund(account, "60.00", key="first")).status_code == 201
    # What is beyond the limit waits, and takes nothing of it.
    assert (await staff.olga.fund(other, "40.01")).status_code == 202
    assert (await staff.olga.fund(other, "40.00")).status_code == 201
    assert (await staff.olga.fund(other, "0.01")).status_code == 202
    # What was booked already is told again, and counts once.
    assert (await staff.olga.fund(account, "60.00", key="first")).headers["Idempotent-Replayed"] == "true"
    assert (await staff.alice.balance(account), await staff.alice.balance(other)) == ("60.00", "40.00")
    # The limit is each person's own, and of one day.
    assert (await staff.omar.fund(other, "100.00")).status_code == 201
    count = {"$regex": f"^tally:alone:fund:{staff.olga.user_id}:EUR:"}
    counted = await careful_bank.ledger["journal"].find({"entries.account": count}).to_list()
    days = {entry["account"].rpartition(":")[2] for one in counted for entry in one["entries"][2:]}
    assert days == {utc_now().date().isoformat()}
    assert sorted(one["entries"][2]["balance"] for one in counted) == [6000, 10000]


async def test_money_without_a_limit_always_takes_two(staff: Staff) -> None:
    account = await staff.alice.open_account("USD")
    body = {"amount": "0.01", "currency": "USD"}
    asked = await staff.olga.post(f"/accounts/{account}/fund", body, key=str(uuid4()))
    assert asked.status_code == 202
    assert (await approve(staff.omar, asked.json())).status_code == 200
    assert await staff.alice.balance(account) == "0.01"


async def test_what_another_has_approved_is_not_counted(staff: Staff) -> None:
    account = await staff.alice.open_account()
    asked = await staff.olga.fund(account, "500.00")
    assert (await approve(staff.omar, asked.json())).status_code == 200
    for one in (staff.olga, staff.omar):
        assert (await one.fund(account, "100.00")).status_code == 201


async def test_the_limit_holds_for_many_at_once_in_two_processes_and_after_a_restart(mongo_uri: str) -> None:
    policy = {"staff_policy": asking_for("fund", alone={"EUR": 100})}
    async with AsyncExitStack() as stack:
        bank = await stack.enter_async_context(
            running_bank(mongo_uri, kafka_broker=CLOSED_PORT, banking=policy)
        )
        second = await stack.enter_async_context(
            running_bank(mongo_uri, kafka_broker=CLOSED_PORT, banking=policy, suffix=bank.suffix)
        )
        alice, olga = await bank.person(), await bank.person("Olga", "operator")
        there = replace(olga, user_api=second.user_api, banking_api=second.banking_api)
        account = await alice.open_account()
        answers = await asyncio.gather(*(one.fund(account, "10.00") for one in (olga, there) * 10))
        while any(answer.status_code == 503 for answer in answers):
            # Not done, and told so: it is asked again until all are decided.
            answers = [
                await olga.fund(account, "10.00") if answer.status_code == 503 else answer
                for answer in answers
            ]
        assert sorted(answer.status_code for answer in answers) == [201] * 10 + [202] * 10
        assert await alice.balance(account) == "100.00"
    restarted = running_bank(mongo_uri, kafka_broker=CLOSED_PORT, banking=policy, suffix=bank.suffix)
    async with restarted as again:
        later = replace(olga, user_api=again.user_api, banking_api=again.banking_api, http=again.http)
        assert (await later.fund(account, "0.01")).status_code == 202


async def test_staff_use_no_power_on_an_account_of_their_own(careful_bank: Bank, staff: Staff) -> None:
    olgas = await staff.olga.open_account()
    adjustment = {"direction": "credit", "amount": "1.00", "currency": "EUR", "reason": "x"}
    own = [
        await staff.olga.fund(olgas, "1.00"),
        await staff.olga.fund(olgas, "1000.00"),
        await staff.olga.post(f"/accounts/{olgas}/adjust", adjustment, key=str(uuid4())),
        await staff.olga.patch(f"/accounts/{olgas}/freeze", {"reason": "x"}),
    ]
    fund = await staff.omar.fund(olgas, "500.00")
    await staff.omar.patch(f"/accounts/{olgas}/freeze", {"reason": "x"})
    own.append(await staff.olga.patch(f"/accounts/{olgas}/unfreeze", {"reason": "x"}))
    assert [(answer.status_code, answer.json()["code"]) for answer in own] == [(403, "own_account")] * 5

    # Nor do they approve what somebody else has asked for on it.
    unfreeze = await staff.omar.patch(f"/accounts/{olgas}/unfreeze", {"reason": "x"})
    adjust = await staff.omar.post(f"/accounts/{olgas}/adjust", adjustment, key=str(uuid4()))
    for asked in (unfreeze, fund, adjust):
        assert asked.status_code == 202
        refused = await approve(staff.olga, asked.json())
        assert (refused.status_code, refused.json()["code"]) == (403, "own_account")
        shown = (await staff.omar.get(asked.headers["Location"])).json()
        assert shown["status"] == "pending"
    account = (await staff.olga.get(f"/accounts/{olgas}")).json()
    assert (account["status"], account["balance"]["amount"]) == ("frozen", "0.00")
    third = await careful_bank.person("Otto", "operator")
    assert (await approve(third, unfreeze.json())).status_code == 200
    # What any owner may do, they may.
    closed = await staff.olga.patch(f"/accounts/{olgas}/close", {"reason": "x"})
    assert (closed.status_code, closed.json()["status"]) == (200, "closed")


@pytest.mark.parametrize("loss", ["lock", "role"])
async def test_a_request_dies_with_the_right_to_make_it(careful_bank: Bank, staff: Staff, loss: str) -> None:
    request = await staff.ask_to_unfreeze()
    account = await staff.alice.open_account()
    funding = (await staff.olga.fund(account, "500.00")).json()
    ada = await careful_bank.person("Ada", "admin")
    path = f"/users/{staff.olga.user_id}/{loss}"
    taken = await ada.patch(path, {"reason": "x", **({"role": "support"} if loss == "role" else {})})
    assert taken.status_code == 200

    async def refused_as(why: str) -> None:
        for asked in (request, funding):
            for answer in (await approve(staff.omar, asked), await reject(staff.omar, asked)):
                assert (answer.status_code, answer.json()["code"]) == (409, "approval_withdrawn")
            shown = (await staff.omar.get(f"/approvals/ledger/{asked['id']}")).json()
            assert (shown["status"], shown["decided_by"]) == ("withdrawn", None)
            assert why in shown["decision_reason"]
        assert await staff.status() == "frozen"
        assert await staff.alice.balance(account) == "0.00"

    await refused_as("is locked" if loss == "lock" else "is support now")
    listed = {}
    for status in ("pending", "withdrawn"):
        page = (await staff.omar.get(f"/approvals/ledger?status={status}&limit=200")).json()
        listed[status] = [item["id"] for item in page["items"]]
    for asked in (request, funding):
        assert asked["id"] in listed["withdrawn"]
        assert asked["id"] not in listed["pending"]
    # It does not come back with the right.
    back = {"lock": ("unlock", {}), "role": ("role", {"role": "operator"})}[loss]
    given = await ada.patch(f"/users/{staff.olga.user_id}/{back[0]}", {"reason": "x", **back[1]})
    assert given.status_code == 200
    await refused_as("since")


async def test_what_was_frozen_anew_meanwhile_is_not_unfrozen_by_an_old_request(staff: Staff) -> None:
    request, other = await staff.ask_to_unfreeze(), await staff.ask_to_unfreeze()
    assert request["parameters"]["frozen_because"] == "x"
    assert (await approve(staff.omar, request)).status_code == 200
    await staff.omar.patch(f"/accounts/{staff.account}/freeze", {"reason": "a court order"})
    late = await approve(staff.omar, other)
    assert (late.status_code, late.json()["code"]) == (409, "approval_outdated")
    assert await staff.status() == "frozen"


async def test_funding_an_account_that_was_closed_meanwhile_moves_nothing(staff: Staff) -> None:
    account = await staff.alice.open_account()
    request = (await staff.olga.fund(account, "250.00")).json()
    assert (await staff.alice.patch(f"/accounts/{account}/close", {})).status_code == 200
    late = await approve(staff.omar, request)
    assert (late.status_code, late.json()["code"]) == (422, "account_closed")
    assert await staff.alice.balance(account) == "0.00"


async def test_a_repeated_funding_finds_its_request_and_then_its_transaction(staff: Staff) -> None:
    account = await staff.alice.open_account()
    first = await staff.olga.fund(account, "250.00", key="payroll")
    assert (await staff.olga.fund(account, "250.00", key="payroll")).json() == first.json()
    other = await staff.olga.fund(account, "260.00", key="payroll")
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    done = (await approve(staff.omar, first.json())).json()
    repeated = await staff.olga.fund(account, "250.00", key="payroll")
    assert (repeated.status_code, repeated.headers["Idempotent-Replayed"]) == (201, "true")
    assert repeated.json()["id"] == done["outcome"]["transaction_id"]
    assert repeated.json()["initiated_by"] == staff.olga.user_id
    assert await staff.alice.balance(account) == "250.00"


async def test_an_approved_funding_that_a_rule_refuses_is_settled(staff: Staff) -> None:
    account = await staff.alice.open_account()
    request = (await staff.olga.fund(account, "250.00")).json()
    await staff.omar.patch(f"/accounts/{account}/freeze", {"reason": "x"})
    refused = await approve(staff.omar, request)
    assert (refused.status_code, refused.json()["code"]) == (422, "account_frozen")
    shown = (await staff.omar.get(f"/approvals/ledger/{request['id']}")).json()
    assert (shown["status"], shown["outcome"]["status"]) == ("approved", "failed")
    assert (await approve(staff.omar, request)).status_code == 409


async def test_what_cannot_be_done_is_not_requested(staff: Staff) -> None:
    account = await staff.alice.open_account()
    answer = await staff.olga.patch(f"/accounts/{account}/unfreeze", {"reason": "x"})
    assert (answer.status_code, answer.json()["code"]) == (409, "account_not_frozen")
    answer = await staff.olga.patch("/accounts/1000000009/unfreeze", {"reason": "x"})
    assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
    assert (await staff.olga.fund("1000000009", "500.00")).status_code == 404
    request = await staff.ask_to_unfreeze()
    other = await staff.ask_to_unfreeze()
    assert (await approve(staff.omar, request)).status_code == 200
    late = await approve(staff.omar, other)
    assert (late.status_code, late.json()["code"]) == (409, "approval_outdated")


async def test_malformed_ids_and_queries(staff: Staff) -> None:
    for id_ in (str(uuid4()), "x", "%00"):
        assert (await approve(staff.omar, {"id": id_})).status_code == 404
    for query, status in (("status=gold", 422), ("limit=0", 422), ("cursor=AAAA", 400)):
        assert (await staff.omar.get(f"/approvals/ledger?{query}")).status_code == status


@pytest.fixture
async def careful_users(mongo_uri: str, database_name: str) -> AsyncIterator[tuple[UserApi, MovableClock]]:
    """A user_api where roles, and locks of staff, take two admins."""
    clock = MovableClock()
    async with running_user_api(
        mongo_uri,
        database_name,
        clock=clock,
        staff_policy=asking_for("change_role", "lock_staff", "unlock_staff", "create_api_key"),
    ) as api:
        yield api, clock


async def decide(person: UserPerson, asked: httpx.Response) -> httpx.Response:
    return await person.call("POST", f"{asked.headers['Location']}/approve")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Role.USER, Role.SUPPORT),
        (Role.USER, Role.OPERATOR),
        (Role.OPERATOR, Role.ADMIN),
        (Role.ADMIN, Role.OPERATOR),
        (Role.SUPPORT, Role.USER),
    ],
)
async def test_any_change_of_role_takes_two_admins(
    careful_users: tuple[UserApi, MovableClock], before: Role, after: Role
) -> None:
    api, clock = careful_users
    ada, abe, person = [await api.person(role) for role in (Role.ADMIN, Role.ADMIN, before)]
    path, body = f"/users/{person.id}/role", {"role": after.value, "reason": "successor"}
    asked = await ada.call("PATCH", path, body)
    assert asked.status_code == 202
    assert asked.json()["parameters"] == {"role_before": before.value, "role": after.value}
    assert (await ada.call("GET", f"/users/{person.id}")).json()["role"] == before.value
    own = await decide(ada, asked)
    assert (own.status_code, own.json()["code"]) == (403, "own_request")
    answers = await asyncio.gather(*(decide(abe, asked) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert (await ada.call("GET", f"/users/{person.id}")).json()["role"] == after.value
    newest = (await ada.call("GET", "/audit/users?limit=1")).json()["items"][0]
    assert (newest["action"], newest["actor"]["user_id"]) == ("change_role", abe.id)
    assert newest["approval"]["requested_by"]["user_id"] == ada.id

    other = await api.register()
    late = await ada.call("PATCH", f"/users/{other['id']}/role", {**body, "role": "admin"})
    clock.ahead += LIFETIME
    expired = await decide(await api.sign_in(abe.email), late)
    assert (expired.status_code, expired.json()["code"]) == (409, "approval_expired")


async def test_nobody_makes_the_second_person_alone(careful_users: tuple[UserApi, MovableClock]) -> None:
    """As it was tried: an admin made a second user an operator, who then approved."""
    api, _ = careful_users
    ada, accomplice = await api.person(Role.ADMIN), await api.person()
    asked = await ada.call(
        "PATCH", f"/users/{accomplice.id}/role", {"role": "admin", "reason": "my second person"}
    )
    assert asked.status_code == 202
    for one in (ada, accomplice):
        assert (await decide(one, asked)).status_code == 403
    assert (await accomplice.call("GET", "/users/me")).json()["role"] == "user"


async def test_staff_are_locked_and_let_in_again_by_two_and_customers_by_one(
    careful_users: tuple[UserApi, MovableClock],
) -> None:
    api, _ = careful_users
    ada, abe, operator, customer = [
        await api.person(role) for role in (Role.ADMIN, Role.ADMIN, Role.OPERATOR, Role.USER)
    ]
    for act, is_locked in (("lock", True), ("unlock", False)):
        alone = await ada.call("PATCH", f"/users/{customer.id}/{act}", {"reason": "x"})
        assert (alone.status_code, alone.json()["locked"]) == (200, is_locked)
        asked = await ada.call("PATCH", f"/users/{operator.id}/{act}", {"reason": "x"})
        assert (asked.status_code, asked.json()["act"]) == (202, f"{act}_staff")
        assert (await ada.call("GET", f"/users/{operator.id}")).json()["locked"] is not is_locked
        twice = await ada.call("PATCH", f"/users/{operator.id}/{act}", {"reason": "x"})
        assert (await decide(abe, asked)).status_code == 200
        assert (await ada.call("GET", f"/users/{operator.id}")).json()["locked"] is is_locked
        late = await decide(abe, twice)
        assert (late.status_code, late.json()["code"]) == (409, "approval_outdated")
    # What is so already asks nobody.
    same = await ada.call("PATCH", f"/users/{operator.id}/unlock", {"reason": "x"})
    assert (same.status_code, same.json()["locked"]) == (200, False)


async def test_nobody_approves_what_is_done_to_themselves(
    careful_users: tuple[UserApi, MovableClock],
) -> None:
    api, _ = careful_users
    ada, abe = await api.person(Role.ADMIN), await api.person(Role.ADMIN)
    for act, body in (("role", {"role": "user", "reason": "x"}), ("lock", {"reason": "x"})):
        asked = await ada.call("PATCH", f"/users/{abe.id}/{act}", body)
        refused = await decide(abe, asked)
        assert (refused.status_code, refused.json()["code"]) == (422, "self_lockout")
        own = await ada.call("PATCH", f"/users/{ada.id}/{act}", body)
        assert (own.status_code, own.json()["code"]) == (422, "self_lockout")


async def test_a_role_that_changed_meanwhile_must_be_asked_for_anew(
    careful_users: tuple[UserApi, MovableClock],
) -> None:
    api, _ = careful_users
    ada, abe, person = [await api.person(role) for role in (Role.ADMIN, Role.ADMIN, Role.USER)]
    path = f"/users/{person.id}/role"
    first = await ada.call("PATCH", path, {"role": "support", "reason": "x"})
    second = await ada.call("PATCH", path, {"role": "admin", "reason": "x"})
    assert (await decide(abe, first)).status_code == 200
    late = await decide(abe, second)
    assert (late.status_code, late.json()["code"]) == (409, "approval_outdated")
    assert (await ada.call("GET", f"/users/{person.id}")).json()["role"] == "support"


async def test_an_admins_requests_die_with_the_role(careful_users: tuple[UserApi, MovableClock]) -> None:
    api, _ = careful_users
    ada, abe, person = [await api.person(role) for role in (Role.ADMIN, Role.ADMIN, Role.USER)]
    asked = await ada.call("PATCH", f"/users/{person.id}/role", {"role": "admin", "reason": "x"})
    await api.administration.change_role(UUID(ada.id), Role.OPERATOR, actor=SHELL, reason="left")
    late = await decide(abe, asked)
    assert (late.status_code, late.json()["code"]) == (409, "approval_withdrawn")
    await api.administration.change_role(UUID(ada.id), Role.ADMIN, actor=SHELL, reason="is back")
    late = await decide(abe, asked)
    assert (late.status_code, late.json()["code"]) == (409, "approval_withdrawn")
    shown = (await abe.call("GET", asked.headers["Location"])).json()
    assert (shown["status"], "since" in shown["decision_reason"]) == ("withdrawn", True)
    assert (await abe.call("GET", f"/users/{person.id}")).json()["role"] == "user"


async def demote(api: UserApi, user_id: UUID) -> None:
    await api.administration.change_role(user_id, Role.USER, actor=SHELL, reason="at this very moment")


async def lock_user(api: UserApi, user_id: UUID) -> None:
    # By a clock that is behind: the lock itself counts, not only its time.
    earlier = utc_now() - timedelta(days=1)
    changed = {"locked": True, "rights_lost_at": earlier}
    await api.database["users"].update_one({"_id": user_id}, {"$set": changed, "$inc": {"version": 1}})


@pytest.mark.parametrize("lose_the_right", [demote, lock_user])
async def test_a_requester_who_is_locked_while_it_is_approved_is_noticed_in_the_act_itself(
    careful_users: tuple[UserApi, MovableClock],
    monkeypatch: pytest.MonkeyPatch,
    lose_the_right: Callable[[UserApi, UUID], Awaitable[None]],
) -> None:
    api, _ = careful_users
    ada, abe, person = [await api.person(role) for role in (Role.ADMIN, Role.ADMIN, Role.USER)]
    asked = await ada.call("PATCH", f"/users/{person.id}/role", {"role": "admin", "reason": "x"})
    approvals = api.approvals
    looked_up = approvals._standings

    async def then_without(user_ids: Collection[UUID]) -> Mapping[UUID, Standing]:
        found = await looked_up(user_ids)
        await lose_the_right(api, UUID(ada.id))
        return found

    monkeypatch.setattr(approvals, "_standings", then_without)
    late = await decide(abe, asked)
    assert (late.status_code, late.json()["code"]) == (409, "approval_withdrawn")
    monkeypatch.undo()
    assert (await abe.call("GET", f"/users/{person.id}")).json()["role"] == "user"


async def test_one_does_not_ask_for_what_one_may_not_do(careful_users: tuple[UserApi, MovableClock]) -> None:
    api, _ = careful_users
    admin, operator = await api.person(Role.ADMIN), await api.person(Role.OPERATOR)
    body = {"role": "admin", "reason": "x"}
    assert (await operator.call("PATCH", f"/users/{operator.id}/role", body)).status_code == 403
    assert (await admin.call("PATCH", f"/users/{uuid4()}/role", body)).status_code == 404
    same = await admin.call("PATCH", f"/users/{admin.id}/role", body)
    assert (same.status_code, same.json()["role"]) == (200, "admin")
