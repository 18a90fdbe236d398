"""Sessions: their public names and how long they live."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from daemons.user_api.sessions.session import Session, SessionLimits, session_not_found

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LIMITS = SessionLimits(lifetime=timedelta(hours=12), idle=60 * MINUTE, access=10 * MINUTE)
SESSION = Session(
    id=uuid4(),
    user_id=uuid4(),
    created_at=NOW,
    last_seen_at=NOW,
    expires_at=NOW + LIMITS.lifetime,
    address="127.0.0.1",
    device="test",
)


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


def test_what_is_missing_or_not_possible_has_a_stable_code_and_says_so() -> None:
    errors = (session_not_found(),)
    assert [(error.category.value, error.code, error.message) for error in errors] == [
        ("not_found", "session_not_found", "You have no such session."),
    ]
