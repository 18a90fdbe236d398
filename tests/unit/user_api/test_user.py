"""Users: roles, locks, and who may give and take them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from daemons.contracts.errors import RejectedError
from daemons.contracts.permissions import Role
from daemons.user_api.users.user import User, email_taken, locked, unlocked, user_not_found, with_role

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ADMIN = User(
    id=uuid4(),
    email="ann@example.com",
    display_name="Ann",
    role=Role.ADMIN,
    locked=False,
    created_at=NOW,
    password_hash="$argon2id$secret",
)


def test_an_admin_is_demoted_and_locked_by_another_only() -> None:
    other = uuid4()
    assert with_role(ADMIN, Role.USER, actor_id=other, at=NOW).role is Role.USER
    assert with_role(ADMIN, Role.USER, actor_id=None, at=NOW).role is Role.USER
    assert locked(ADMIN, actor_id=other, at=NOW).locked
    refused = r"^You cannot (change your own role|lock yourself out); another admin can\.$"
    with pytest.raises(RejectedError, match=refused) as role_refused:
        with_role(ADMIN, Role.USER, actor_id=ADMIN.id, at=NOW)
    with pytest.raises(RejectedError, match=refused) as lock_refused:
        locked(ADMIN, actor_id=ADMIN.id, at=NOW)
    assert {role_refused.value.code, lock_refused.value.code} == {"self_lockout"}


def test_what_changes_nothing_is_the_same_user() -> None:
    assert with_role(ADMIN, Role.ADMIN, actor_id=ADMIN.id, at=NOW) == ADMIN
    assert unlocked(ADMIN) == ADMIN
    once = locked(ADMIN, actor_id=uuid4(), at=NOW)
    assert locked(once, actor_id=uuid4(), at=NOW + MINUTE) == once


def test_it_is_kept_when_a_right_was_last_lost() -> None:
    later = NOW + MINUTE
    lost = locked(ADMIN, actor_id=None, at=later)
    assert (lost.locked, unlocked(lost).locked) == (True, False)
    assert (lost.rights_lost_at, unlocked(lost).rights_lost_at) == (later, later)
    demoted = with_role(ADMIN, Role.OPERATOR, actor_id=None, at=later)
    assert demoted.rights_lost_at == later
    # What is given takes nothing.
    assert with_role(demoted, Role.ADMIN, actor_id=None, at=later + MINUTE).rights_lost_at == later
    user = replace(ADMIN, role=Role.USER)
    assert with_role(user, Role.ADMIN, actor_id=None, at=later).rights_lost_at is None


def test_a_user_is_shown_without_the_password_hash() -> None:
    assert "secret" not in repr(ADMIN)


def test_what_is_missing_or_not_possible_has_a_stable_code_and_says_so() -> None:
    errors = (user_not_found(), email_taken())
    assert [(error.category.value, error.code, error.message) for error in errors] == [
        ("not_found", "user_not_found", "There is no such user."),
        ("conflict", "email_taken", "Another user signs in with this email address."),
    ]
