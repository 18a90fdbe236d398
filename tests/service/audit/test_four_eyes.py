"""Acts that wait for a second person: requested, decided once, by somebody else, in time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from daemons.contracts.permissions import Role
from daemons.shared.approvals.approval import LIFETIME
from daemons.shared.clock import utc_now
from tests.support.bank import CLOSED_PORT, Bank, Person, running_bank
from tests.support.user_api import MovableClock, UserApi, running_user_api


@pytest.fixture(scope="module")
async def careful_bank(mongo_uri: str) -> AsyncIterator[Bank]:
    """A bank where unfreezing, and funding of more than 100, take two."""
    policy = {"four_eyes_actions": "unfreeze, fund", "four_eyes_fund_threshold": "100"}
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


async def test_funding_up_to_the_threshold_needs_one_person(staff: Staff) -> None:
    account = await staff.alice.open_account()
    assert (await staff.olga.fund(account, "100.00")).status_code == 201
    assert (await staff.olga.fund(account, "100.01")).status_code == 202
    assert await staff.alice.balance(account) == "100.00"


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
    request = (await staff.olga.fund(staff.account, "250.00")).json()
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
    assert (late.status_code, late.json()["code"]) == (409, "account_not_frozen")


async def test_malformed_ids_and_queries(staff: Staff) -> None:
    for id_ in (str(uuid4()), "x", "%00"):
        assert (await approve(staff.omar, {"id": id_})).status_code == 404
    for query, status in (("status=gold", 422), ("limit=0", 422), ("cursor=AAAA", 400)):
        assert (await staff.omar.get(f"/approvals/ledger?{query}")).status_code == status


@pytest.fixture
async def careful_users(mongo_uri: str, database_name: str) -> AsyncIterator[tuple[UserApi, MovableClock]]:
    """A user_api where making an admin takes two admins."""
    clock = MovableClock()
    async with running_user_api(
        mongo_uri, database_name, clock=clock, four_eyes_actions="grant_admin"
    ) as api:
        yield api, clock


async def test_making_an_admin_takes_two_admins(careful_users: tuple[UserApi, MovableClock]) -> None:
    api, clock = careful_users
    ada, abe = await api.person(Role.ADMIN), await api.person(Role.ADMIN)
    person = await api.person()
    path, body = f"/users/{person.id}/role", {"role": "admin", "reason": "successor"}
    operator = await ada.call("PATCH", path, {**body, "role": "operator"})
    assert (operator.status_code, operator.json()["role"]) == (200, "operator")
    asked = await ada.call("PATCH", path, body)
    assert asked.status_code == 202
    assert (await ada.call("GET", f"/users/{person.id}")).json()["role"] == "operator"
    approve_path = f"{asked.headers['Location']}/approve"
    own = await ada.call("POST", approve_path)
    assert (own.status_code, own.json()["code"]) == (403, "own_request")
    answers = await asyncio.gather(*(abe.call("POST", approve_path) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409]
    assert (await ada.call("GET", f"/users/{person.id}")).json()["role"] == "admin"
    newest = (await ada.call("GET", "/audit/users?limit=1")).json()["items"][0]
    assert (newest["action"], newest["actor"]["user_id"]) == ("change_role", abe.id)
    assert newest["approval"]["requested_by"]["user_id"] == ada.id

    other = await api.register()
    late = await ada.call("PATCH", f"/users/{other['id']}/role", body)
    clock.ahead += LIFETIME
    abe = await api.sign_in(abe.email)
    expired = await abe.call("POST", f"{late.headers['Location']}/approve")
    assert (expired.status_code, expired.json()["code"]) == (409, "approval_expired")


async def test_one_does_not_ask_for_what_one_may_not_do(careful_users: tuple[UserApi, MovableClock]) -> None:
    api, _ = careful_users
    admin, operator = await api.person(Role.ADMIN), await api.person(Role.OPERATOR)
    body = {"role": "admin", "reason": "x"}
    assert (await operator.call("PATCH", f"/users/{operator.id}/role", body)).status_code == 403
    assert (await admin.call("PATCH", f"/users/{uuid4()}/role", body)).status_code == 404
    same = await admin.call("PATCH", f"/users/{admin.id}/role", body)
    assert (same.status_code, same.json()["role"]) == (200, "admin")
