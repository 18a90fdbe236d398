"""When a request for a second person can be decided, by whom, and what the record says of the first."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from daemons.contracts.errors import Category, ConflictError, ForbiddenError
from daemons.contracts.names import ApprovalStatus
from daemons.contracts.permissions import Role
from daemons.shared.approvals.approval import (
    Approval,
    Standing,
    approval_not_found,
    approval_outdated,
    check_decidable,
)
from daemons.shared.approvals.policy import GuardedAct

OLGA, OMAR = UUID("01a2070b-61e3-72e0-ba0b-3153895d3598"), UUID("01a2070b-61e3-72e0-ba0b-3153895d3599")
ASKED_AT = datetime(2026, 11, 23, 5, 34, 42, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
OLGA_PERSON = {"user_id": str(OLGA), "display_name": "Olga", "role": "operator"}
REQUEST = Approval(
    id=UUID("01a2070b-61e3-72e0-ba0b-315389500000"),
    act=GuardedAct.UNFREEZE,
    target_kind="account",
    target_id="4000000006",
    reason="lifted",
    parameters={},
    requester_id=OLGA,
    requested_by=OLGA_PERSON,
    requested_at=ASKED_AT,
    expires_at=ASKED_AT + timedelta(hours=24),
)
OPERATOR = Standing(role=Role.OPERATOR, locked=False, rights_lost_at=None)
LATER = ASKED_AT + timedelta(hours=1)


def test_a_request_waits_until_the_moment_it_expires() -> None:
    assert REQUEST.status(REQUEST.expires_at - MOMENT) is ApprovalStatus.PENDING
    assert REQUEST.status(REQUEST.expires_at) is ApprovalStatus.EXPIRED
    decided = replace(REQUEST, stored_status=ApprovalStatus.REJECTED)
    assert decided.status(REQUEST.expires_at) is ApprovalStatus.REJECTED


@pytest.mark.parametrize(
    ("requester", "why"),
    [
        (OPERATOR, None),
        (replace(OPERATOR, role=Role.ADMIN), None),
        (replace(OPERATOR, rights_lost_at=ASKED_AT - MOMENT), None),
        (replace(OPERATOR, rights_lost_at=ASKED_AT), "who asked was locked or had another role since"),
        (replace(OPERATOR, locked=True), "who asked is locked"),
        (replace(OPERATOR, role=Role.SUPPORT), "who asked is support now and may not do this"),
        (None, "the requester is no longer a user"),
    ],
)
def test_a_request_counts_as_long_as_who_asked_may_ask(requester: Standing | None, why: str | None) -> None:
    judged = REQUEST.judged(LATER, requester)
    expected = ApprovalStatus.PENDING if why is None else ApprovalStatus.WITHDRAWN
    assert (judged.approval, judged.status, judged.why_withdrawn) == (REQUEST, expected, why)


def test_what_was_decided_or_has_expired_is_not_withdrawn_afterwards() -> None:
    expired = REQUEST.judged(REQUEST.expires_at, None)
    assert (expired.status, expired.why_withdrawn) == (ApprovalStatus.EXPIRED, None)
    approved = replace(REQUEST, stored_status=ApprovalStatus.APPROVED).judged(LATER, None)
    assert (approved.status, approved.why_withdrawn) == (ApprovalStatus.APPROVED, None)


@pytest.mark.parametrize(
    ("stored", "now", "requester", "code"),
    [
        (ApprovalStatus.PENDING, REQUEST.expires_at, OPERATOR, "approval_expired"),
        (ApprovalStatus.PENDING, LATER, None, "approval_withdrawn"),
        (ApprovalStatus.APPROVED, LATER, OPERATOR, "approval_decided"),
        (ApprovalStatus.REJECTED, LATER, OPERATOR, "approval_decided"),
    ],
)
def test_only_what_waits_can_be_decided(
    stored: ApprovalStatus, now: datetime, requester: Standing | None, code: str
) -> None:
    check_decidable(REQUEST.judged(LATER, OPERATOR))
    with pytest.raises(ConflictError) as refused:
        check_decidable(replace(REQUEST, stored_status=stored).judged(now, requester))
    assert refused.value.code == code
    if code == "approval_withdrawn":
        assert "the requester is no longer a user" in refused.value.message


def test_what_there_is_not_or_is_no_longer_the_same_has_a_stable_code() -> None:
    missing, outdated = approval_not_found(), approval_outdated("Account 4000000006")
    assert (missing.category, missing.code) == (Category.NOT_FOUND, "approval_not_found")
    assert missing.message == "There is no such request for approval."
    assert (outdated.category, outdated.code) == (Category.CONFLICT, "approval_outdated")
    assert outdated.message == (
        "Account 4000000006 has changed since this was requested; make a new request."
    )


def test_the_second_person_is_somebody_else_who_is_known() -> None:
    REQUEST.check_other_person(OMAR)
    for nobody_else in (OLGA, None):
        with pytest.raises(ForbiddenError) as refused:
            REQUEST.check_other_person(nobody_else)
        assert refused.value.code == "own_request"


def test_the_record_of_the_act_names_the_first_person() -> None:
    assert REQUEST.audit_fields() == {
        "id": "01a2070b-61e3-72e0-ba0b-315389500000",
        "requested_by": OLGA_PERSON,
        "requested_at": "2026-11-23T05:34:42.000Z",
    }


@pytest.mark.parametrize(
    ("act", "may_ask"),
    [
        ("unfreeze", {"operator", "admin"}),
        ("fund", {"operator", "admin"}),
        ("adjust", {"operator", "admin"}),
        ("change_role", {"admin"}),
        ("lock_staff", {"admin"}),
        ("unlock_staff", {"admin"}),
    ],
)
def test_each_act_is_asked_for_by_those_who_may_do_it(act: str, may_ask: set[str]) -> None:
    asked = replace(REQUEST, act=GuardedAct(act))
    waits = {
        role.value
        for role in Role
        if asked.judged(LATER, replace(OPERATOR, role=role)).status is ApprovalStatus.PENDING
    }
    assert waits == may_ask
