from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from daemons.contracts.errors import RejectedError
from daemons.contracts.permissions import Role
from daemons.user_api.domain.session import Session, SessionLimits
from daemons.user_api.domain.user import User, locked, unlocked, with_role

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
    assert with_role(ADMIN, Role.USER, actor_id=other).role is Role.USER
    assert with_role(ADMIN, Role.USER, actor_id=None).role is Role.USER
    assert locked(ADMIN, actor_id=other).locked
    with pytest.raises(RejectedError, match="another admin"):
        with_role(ADMIN, Role.USER, actor_id=ADMIN.id)
    with pytest.raises(RejectedError, match="another admin"):
        locked(ADMIN, actor_id=ADMIN.id)


def test_what_changes_nothing_is_the_same_user() -> None:
    assert with_role(ADMIN, Role.ADMIN, actor_id=ADMIN.id) == ADMIN
    assert unlocked(ADMIN) == ADMIN
    assert unlocked(locked(ADMIN, actor_id=uuid4())) == ADMIN


def test_a_user_is_shown_without_the_password_hash() -> None:
    assert "secret" not in repr(ADMIN)


def test_a_session_lives_within_both_limits() -> None:
    assert SESSION.lives(NOW + 59 * MINUTE, LIMITS)
    assert not SESSION.lives(NOW + 60 * MINUTE, LIMITS)
    used = replace(SESSION, last_seen_at=NOW + 719 * MINUTE)
    assert used.lives(SESSION.expires_at - timedelta(milliseconds=1), LIMITS)
    assert not used.lives(SESSION.expires_at, LIMITS)


def test_the_last_use_is_renewed_once_a_minute() -> None:
    assert not SESSION.last_use_is_stale(NOW + timedelta(seconds=59))
    assert SESSION.last_use_is_stale(NOW + MINUTE)
