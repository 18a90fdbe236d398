from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from daemons.contracts.errors import RejectedError
from daemons.contracts.permissions import Permission, Role
from daemons.user_api.api_keys.api_key import ApiKey
from daemons.user_api.sessions.session import Session, SessionLimits
from daemons.user_api.users.user import User, locked, unlocked, with_role

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LIMITS = SessionLimits(lifetime=timedelta(hours=12), idle=60 * MINUTE, access=10 * MINUTE)
ADMIN = User(
    id=uuid4(),
    email="ann@example.com",
    display_name="Ann",
    role=Role.ADMIN,
    locked=False,
    created_at=NOW,
    password_hash="$argon2id$secret",
)
SESSION = Session(
    id=uuid4(),
    user_id=ADMIN.id,
    created_at=NOW,
    last_seen_at=NOW,
    expires_at=NOW + LIMITS.lifetime,
    address="127.0.0.1",
    device="test",
)


def test_an_admin_is_demoted_and_locked_by_another_only() -> None:
    other = uuid4()
    assert with_role(ADMIN, Role.USER, actor_id=other, at=NOW).role is Role.USER
    assert with_role(ADMIN, Role.USER, actor_id=None, at=NOW).role is Role.USER
    assert locked(ADMIN, actor_id=other, at=NOW).locked
    told = r"^You cannot (change your own role|lock yourself out); another admin can\.$"
    with pytest.raises(RejectedError, match=told) as role_refused:
        with_role(ADMIN, Role.USER, actor_id=ADMIN.id, at=NOW)
    with pytest.raises(RejectedError, match=told) as lock_refused:
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


def test_a_sessions_public_name_is_its_own_and_not_its_id() -> None:
    other = replace(SESSION, id=uuid4())
    assert SESSION.handle == replace(SESSION, device="another").handle
    assert len({SESSION.handle, other.handle, SESSION.id, other.id}) == 4


def test_a_session_lives_within_both_limits() -> None:
    assert SESSION.lives(NOW + 59 * MINUTE, LIMITS)
    assert not SESSION.lives(NOW + 60 * MINUTE, LIMITS)
    used = replace(SESSION, last_seen_at=NOW + 719 * MINUTE)
    assert used.lives(SESSION.expires_at - timedelta(milliseconds=1), LIMITS)
    assert not used.lives(SESSION.expires_at, LIMITS)


def test_the_last_use_is_renewed_once_a_minute() -> None:
    assert not SESSION.last_use_is_stale(NOW + timedelta(seconds=59))
    assert SESSION.last_use_is_stale(NOW + MINUTE)


def test_a_key_has_ended_at_the_very_moment_it_was_said_to() -> None:
    key = ApiKey(
        id=uuid4(),
        user_id=ADMIN.id,
        name="ci",
        scopes=frozenset({Permission.USE_OWN_ACCOUNTS}),
        created_at=NOW,
        expires_at=NOW + timedelta(days=1),
    )
    assert key.lives(key.expires_at - timedelta(microseconds=1))
    assert not key.lives(key.expires_at)
