"""Frauds that two of the staff can think of: each is refused in the act itself, or named by the findings."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from bankctl.audit_findings import Finding, find
from daemons.contracts.permissions import Role
from daemons.shared.clock import utc_now
from tests.support.bank import CLOSED_PORT, PASSWORD, Bank, Person, running_bank

LIMITS = {"approval": "beyond", "alone": {"EUR": 100}, "at_most": {"EUR": 1000}}
POLICY = {"acts": {"fund": LIMITS, "withdraw": LIMITS}}
ADJUSTMENT = {"direction": "credit", "amount": "1.00", "currency": "EUR", "reason": "x"}


@pytest.fixture(scope="module")
async def strict_bank(mongo_uri: str) -> AsyncIterator[Bank]:
    """A bank where every act takes two, and one may fund 100 euro a day alone, 1000 with another."""
    policy = {"staff_policy": POLICY}
    async with running_bank(mongo_uri, kafka_broker=CLOSED_PORT, banking=policy, users=policy) as bank:
        yield bank


@dataclass
class Plot:
    """Two operators and two admins who conspire, an honest third of each, and a customer with an account."""

    bank: Bank
    olga: Person
    omar: Person
    ada: Person
    abe: Person
    alice: Person
    account: str

    async def approve(self, by: Person, asked: httpx.Response, **headers: str) -> tuple[int, str]:
        assert asked.status_code == 202, asked.text
        answer = await by.call("POST", f"{asked.headers['Location']}/approve", **headers)
        return answer.status_code, answer.json().get("code", answer.json().get("status"))

    async def role_by_two(self, person: Person, role: str) -> None:
        """Ada and Abe give somebody a role, who signs in anew."""
        asked = await self.ada.patch(f"/users/{person.user_id}/role", {"role": role, "reason": "new"})
        assert await self.approve(self.abe, asked) == (200, "approved")
        login = await person.post("/auth/login", {"email": person.email, "password": PASSWORD})
        person.headers["Cookie"] = login.headers["set-cookie"].partition(";")[0]

    async def key(self, person: Person, *scopes: str) -> httpx.Response:
        body = {"password": PASSWORD, "name": "script", "scopes": scopes}
        return await person.post("/auth/tokens", body)

    async def findings(self, *rules: str) -> list[Finding]:
        """What the audit says of these people's acts."""
        reader = self.abe if self.abe.headers else self.olga
        people = {one.user_id for one in (self.olga, self.omar, self.ada, self.abe)}
        records: list[dict[str, Any]] = []
        for trail in ("ledger", "users"):
            cursor = ""
            while True:
                page = (await reader.get(f"/audit/{trail}?limit=200{cursor}")).json()
                records += [{"trail": trail, **one} for one in page["items"]]
                if page["next_cursor"] is None:
                    break
                cursor = f"&cursor={page['next_cursor']}"
        policy = (await reader.get("/approvals/ledger/policy")).json()["acts"]
        theirs = [record for record in records if record["actor"]["user_id"] in people]
        return [finding for finding in find(theirs, policy) if finding.rule in rules]

    async def granted_days_ago(self, person: Person, days: int) -> None:
        at = utc_now() - timedelta(days=days)
        changed = {"$set": {"grants.$[].at": at}}
        await self.bank.users["users"].update_one({"_id": UUID(person.user_id)}, changed)


@pytest.fixture
async def plot(strict_bank: Bank) -> Plot:
    olga, omar = [await strict_bank.person(name, "operator") for name in ("Olga", "Omar")]
    ada, abe = [await strict_bank.person(name, "admin") for name in ("Ada", "Abe")]
    alice = await strict_bank.person()
    return Plot(strict_bank, olga, omar, ada, abe, alice, await alice.open_account())


def told(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["code"])


def with_key(person: Person, token: str) -> Person:
    script = replace(person, headers={})
    script.headers["Authorization"] = f"Bearer {token}"
    return script


async def test_1_one_asks_and_approves(plot: Plot) -> None:
    asked = await plot.olga.fund(plot.account, "500.00")
    assert await plot.approve(plot.olga, asked) == (403, "own_request")


async def test_2_one_asks_and_approves_with_a_key(plot: Plot) -> None:
    made = await plot.key(plot.olga, "approve_acts", "fund_accounts")
    approval = made.json()["approval"]
    approved = await plot.abe.call("POST", f"/approvals/users/{approval['id']}/approve")
    assert approved.status_code == 200, approved.text
    script = with_key(plot.olga, made.json()["token"])
    for asking, deciding in ((plot.olga, script), (script, plot.olga)):
        asked = await asking.fund(plot.account, "500.00")
        assert await plot.approve(deciding, asked) == (403, "own_request")


async def test_3_one_makes_a_key_that_approves(plot: Plot) -> None:
    made = await plot.key(plot.ada, "approve_acts", "manage_users")
    assert (made.status_code, made.json()["approval"]["act"]) == (202, "create_api_key")
    script = with_key(plot.ada, made.json()["token"])
    assert (await script.get("/users/me")).status_code == 401
    own = await plot.ada.call("POST", f"/approvals/users/{made.json()['approval']['id']}/approve")
    assert told(own) == (403, "own_request")
    assert (await script.get("/users/me")).status_code == 401
    assert (await plot.ada.get("/auth/tokens")).json()["items"] == []


async def test_4_a_key_is_approved_after_its_user_was_locked_or_signs_in_otherwise(plot: Plot) -> None:
    made = await plot.key(plot.olga, "approve_acts")
    changed = {"current_password": PASSWORD, "new_password": "another long passphrase"}
    answer = await plot.olga.post("/auth/change-password", {**changed, "end_other_sessions": False})
    assert answer.status_code in {200, 204}, answer.text
    path = f"/approvals/users/{made.json()['approval']['id']}/approve"
    assert told(await plot.abe.call("POST", path)) == (409, "approval_outdated")
    other = await plot.key(plot.omar, "approve_acts")
    lock = await plot.ada.patch(f"/users/{plot.omar.user_id}/lock", {"reason": "x"})
    assert await plot.approve(plot.abe, lock) == (200, "approved")
    path = f"/approvals/users/{other.json()['approval']['id']}/approve"
    assert told(await plot.abe.call("POST", path)) == (409, "approval_withdrawn")


async def test_5_one_acts_on_their_own_account(plot: Plot) -> None:
    own = await plot.olga.open_account()
    assert told(await plot.olga.fund(own, "1.00")) == (403, "own_account")
    assert told(await plot.olga.fund(own, "500.00")) == (403, "own_account")


@pytest.mark.parametrize("owner", ["olga", "omar"])
async def test_6_one_of_the_two_owns_the_account(plot: Plot, owner: str) -> None:
    """Whoever of the two asks, and whichever act it is."""
    owning = plot.olga if owner == "olga" else plot.omar
    other = plot.omar if owner == "olga" else plot.olga
    account = await owning.open_account()
    asked = [
        await other.fund(account, "500.00"),
        await other.post(f"/accounts/{account}/adjust", ADJUSTMENT, key=str(uuid4())),
    ]
    assert (await other.patch(f"/accounts/{account}/freeze", {"reason": "x"})).status_code == 200
    asked.append(await other.patch(f"/accounts/{account}/unfreeze", {"reason": "x"}))
    for request in asked:
        assert await plot.approve(owning, request) == (403, "own_account")
    assert told(await owning.fund(account, "500.00")) == (403, "own_account")
    assert await owning.balance(account) == "0.00"


async def test_7_a_payment_is_reversed_to_an_account_of_the_approver(plot: Plot) -> None:
    omars = await plot.omar.open_account()
    assert (await plot.olga.fund(omars, "50.00")).status_code == 201
    paid = (await plot.omar.transfer(omars, plot.account, "50.00")).json()
    asked = await plot.olga.post(f"/transactions/{paid['id']}/reverse", {"reason": "x"}, key=str(uuid4()))
    assert await plot.approve(plot.omar, asked) == (403, "own_account")


async def test_8_a_request_names_an_account_that_is_opened_meanwhile(plot: Plot) -> None:
    """Numbers are drawn by the bank, so the request is refused when it is made."""
    assert told(await plot.olga.fund("4000000006", "500.00")) == (404, "account_not_found")


async def test_9_an_admin_makes_a_second_person_who_approves_for_them(plot: Plot) -> None:
    mule = await plot.bank.person("Mo")
    await plot.role_by_two(mule, "operator")
    for granter in (plot.ada, plot.abe):
        asked = await granter.fund(plot.account, "200.00")
        assert await plot.approve(mule, asked) == (403, "granted_role")
    # For others they do, and after the days of the policy for these as well.
    asked = await plot.olga.fund(plot.account, "200.00")
    assert await plot.approve(mule, asked) == (200, "approved")
    await plot.granted_days_ago(mule, 31)
    asked = await plot.ada.fund(plot.account, "200.00")
    assert await plot.approve(mule, asked) == (200, "approved")


async def test_10_two_admins_make_a_third_who_approves_their_powers(plot: Plot) -> None:
    mule, next_one = await plot.bank.person("Mo"), await plot.bank.person("Nell")
    await plot.role_by_two(mule, "admin")
    asked = await plot.ada.patch(f"/users/{next_one.user_id}/role", {"role": "admin", "reason": "x"})
    assert await plot.approve(mule, asked) == (403, "granted_role")
    made = await plot.key(plot.ada, "approve_acts")
    own = await mule.call("POST", f"/approvals/users/{made.json()['approval']['id']}/approve")
    assert told(own) == (403, "granted_role")


async def test_11_a_role_is_given_anew_to_forget_who_gave_it(plot: Plot) -> None:
    mule, otto = await plot.bank.person("Mo"), await plot.bank.person("Otto", "admin")
    await plot.role_by_two(mule, "operator")
    for role in ("user", "operator"):
        asked = await otto.patch(f"/users/{mule.user_id}/role", {"role": role, "reason": "x"})
        assert await plot.approve(plot.abe, asked) == (200, "approved")
    login = await mule.post("/auth/login", {"email": mule.email, "password": PASSWORD})
    mule.headers["Cookie"] = login.headers["set-cookie"].partition(";")[0]
    asked = await plot.ada.fund(plot.account, "200.00")
    assert await plot.approve(mule, asked) == (403, "granted_role")


async def test_12_two_admins_promote_one_of_them(plot: Plot) -> None:
    for act, body in (("role", {"role": "user", "reason": "x"}), ("lock", {"reason": "x"})):
        asked = await plot.ada.patch(f"/users/{plot.abe.user_id}/{act}", body)
        assert await plot.approve(plot.abe, asked) == (422, "self_lockout")
        assert told(await plot.ada.patch(f"/users/{plot.ada.user_id}/{act}", body)) == (422, "self_lockout")


async def test_13_one_splits_a_sum_over_accounts(plot: Plot) -> None:
    other = await plot.alice.open_account()
    assert (await plot.olga.fund(plot.account, "60.00")).status_code == 201
    assert (await plot.olga.fund(other, "60.00")).status_code == 202


async def test_14_one_sends_many_at_once(plot: Plot) -> None:
    answers = await asyncio.gather(*(plot.olga.fund(plot.account, "30.00") for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [202] * 7


async def test_15_two_approve_more_than_a_day_allows(plot: Plot) -> None:
    """Also at once: what was booked for one person is counted with the booking itself."""
    asked = [await plot.olga.fund(plot.account, "400.00") for _ in range(4)]
    decided = await asyncio.gather(*(plot.approve(plot.omar, one) for one in asked))
    assert sorted(decided) == [(200, "approved")] * 2 + [(422, "beyond_daily_limit")] * 2
    assert await plot.alice.balance(plot.account) == "800.00"
    # What was refused still waits, and another's requests are counted for themselves.
    statuses = [(await plot.omar.get(one.headers["Location"])).json()["status"] for one in asked]
    assert sorted(statuses) == ["approved"] * 2 + ["pending"] * 2
    asked = [await plot.omar.fund(plot.account, "400.00")]
    assert await plot.approve(plot.olga, asked[0]) == (200, "approved")
    assert (await plot.olga.get("/audit/ledger/proof")).json()["holds"] is True


async def test_16_a_request_is_approved_after_who_asked_was_locked(plot: Plot) -> None:
    asked = await plot.olga.fund(plot.account, "500.00")
    lock = await plot.ada.patch(f"/users/{plot.olga.user_id}/lock", {"reason": "x"})
    assert await plot.approve(plot.abe, lock) == (200, "approved")
    assert await plot.approve(plot.omar, asked) == (409, "approval_withdrawn")


async def test_17_who_approves_has_lost_the_role(plot: Plot) -> None:
    asked = await plot.olga.fund(plot.account, "500.00")
    await plot.role_by_two(plot.omar, "support")
    assert (await plot.approve(plot.omar, asked))[0] == 403


async def test_18_an_account_is_frozen_anew_after_it_was_asked_to_release_it(plot: Plot) -> None:
    freeze = f"/accounts/{plot.account}"
    assert (await plot.olga.patch(f"{freeze}/freeze", {"reason": "fraud"})).status_code == 200
    first, second = [await plot.olga.patch(f"{freeze}/unfreeze", {"reason": "x"}) for _ in range(2)]
    assert await plot.approve(plot.omar, first) == (200, "approved")
    assert (await plot.abe.patch(f"{freeze}/freeze", {"reason": "court order"})).status_code == 200
    assert await plot.approve(plot.omar, second) == (409, "approval_outdated")


async def test_19_one_pays_out_what_another_booked_in(plot: Plot) -> None:
    """Each is limited by their own day; beyond it the counter waits."""
    assert (await plot.olga.fund(plot.account, "100.00")).status_code == 201
    body: dict[str, Any] = {"amount": "100.01", "currency": "EUR"}
    path = f"/accounts/{plot.account}/withdraw"
    assert (await plot.omar.post(path, body, key=str(uuid4()))).status_code in {202, 422}
    assert told(await plot.alice.post(path, body, key=str(uuid4()))) == (403, "forbidden")


async def test_20_a_customer_is_made_staff_to_approve_for_their_own_account(plot: Plot) -> None:
    asked = await plot.olga.fund(plot.account, "500.00")
    await plot.role_by_two(plot.alice, Role.OPERATOR.value)
    assert await plot.approve(plot.alice, asked) == (403, "own_account")


# What nobody can refuse, because each step is allowed: the findings name it.


async def test_21_who_gave_a_role_approves_for_whom_they_gave_it_to(plot: Plot) -> None:
    await plot.role_by_two(plot.omar, "support")
    await plot.role_by_two(plot.omar, "operator")
    asked = await plot.omar.fund(plot.account, "200.00")
    assert await plot.approve(plot.ada, asked) == (200, "approved")
    [found] = await plot.findings("granted")
    assert found.who == "Omar, Ada"
    assert "Ada had taken part in giving Omar a role" in found.what


async def test_22_one_is_signed_in_as_two(plot: Plot) -> None:
    asked = await plot.olga.fund(plot.account, "200.00")
    assert await plot.approve(plot.omar, asked) == (200, "approved")
    [side_by_side] = await plot.findings("same_address")
    assert (side_by_side.who, "127.0.0.1" in side_by_side.what) == ("Olga, Omar", True)
    assert len(side_by_side.records.split()) == 2
    [unread] = await plot.findings("hasty")
    assert unread.who == "Olga, Omar"


async def test_23_one_takes_all_that_is_allowed_alone_in_pieces(plot: Plot) -> None:
    for amount in ("33.00", "33.00", "33.00"):
        assert (await plot.olga.fund(plot.account, amount)).status_code == 201
    [burst] = await plot.findings("burst")
    assert (burst.who, "3 pieces, 99.00 of 100 EUR" in burst.what) == ("Olga", True)


async def test_24_two_split_a_sum_that_neither_may_book_alone(plot: Plot) -> None:
    for one in (plot.olga, plot.omar):
        assert (await one.fund(plot.account, "90.00")).status_code == 201
    [split] = await plot.findings("split")
    assert (split.who, "180.00 EUR" in split.what) == ("Olga, Omar", True)


async def test_25_two_approve_whatever_the_other_asks(plot: Plot) -> None:
    for asking, deciding in ((plot.olga, plot.omar), (plot.omar, plot.olga)):
        for _ in range(3):
            asked = await asking.fund(plot.account, "101.00")
            assert await plot.approve(deciding, asked) == (200, "approved")
    [mutual] = await plot.findings("mutual")
    assert "for each other, 3 and 3 times" in mutual.what


async def test_26_a_role_is_given_for_one_approval(plot: Plot) -> None:
    await plot.role_by_two(plot.omar, "user")
    await plot.role_by_two(plot.omar, "operator")
    asked = await plot.olga.fund(plot.account, "200.00")
    assert await plot.approve(plot.omar, asked) == (200, "approved")
    await plot.role_by_two(plot.omar, "user")
    [brief] = await plot.findings("brief_role")
    assert (brief.who, "approved while being operator" in brief.what) == ("Olga, Omar", True)


async def test_27_what_was_refused_is_named_too(plot: Plot) -> None:
    asked = await plot.olga.fund(plot.account, "500.00")
    assert await plot.approve(plot.olga, asked) == (403, "own_request")
    [tried] = await plot.findings("tried")
    assert (tried.who, "own_request" in tried.what) == ("Olga", True)
