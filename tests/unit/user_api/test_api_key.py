"""What an API key may be made for, and how long it lives."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from daemons.contracts.errors import InvalidRequestError
from daemons.contracts.permissions import Permission, Role
from daemons.user_api.api_keys.api_key import ApiKey, api_key_not_found, check_scopes, too_many_api_keys

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("role", "scopes", "refused"),
    [
        (Role.USER, {Permission.USE_OWN_ACCOUNTS}, None),
        (Role.SUPPORT, {Permission.USE_OWN_ACCOUNTS, Permission.READ_USERS}, None),
        (Role.USER, {Permission.USE_OWN_ACCOUNTS, Permission.READ_USERS}, "read_users"),
        (Role.ADMIN, {Permission.MANAGE_OWN_ACCESS, Permission.READ_USERS}, "manage_own_access"),
        (
            Role.ADMIN,
            {Permission.PUBLIC, Permission.SERVICE, Permission.SIGNED_IN},
            "public, service, signed_in",
        ),
        (
            Role.OPERATOR,
            {Permission.MANAGE_USERS, Permission.USE_OWN_SESSION},
            "manage_users, use_own_session",
        ),
    ],
)
def test_a_key_is_made_for_what_its_users_role_may_give(
    role: Role, scopes: set[Permission], refused: str | None
) -> None:
    if refused is None:
        assert check_scopes(list(scopes), role) == frozenset(scopes)
        return
    with pytest.raises(InvalidRequestError) as error:
        check_scopes(scopes, role)
    [fault] = error.value.errors
    assert (error.value.code, fault.field) == ("invalid_request", "scopes")
    assert fault.message == f"your role makes no key for {refused}"
    assert fault.message in error.value.message


def test_the_last_use_of_a_key_is_kept_once_a_minute() -> None:
    key = ApiKey(
        id=UUID(int=1),
        user_id=UUID(int=2),
        name="ci",
        scopes=frozenset(),
        created_at=NOW,
        expires_at=NOW + timedelta(days=1),
    )
    assert key.last_use_is_stale(NOW)
    used = replace(key, last_used_at=NOW)
    assert not used.last_use_is_stale(NOW + timedelta(minutes=1) - MOMENT)
    assert used.last_use_is_stale(NOW + timedelta(minutes=1))


def test_a_key_has_ended_at_the_very_moment_it_was_said_to() -> None:
    key = ApiKey(
        id=uuid4(),
        user_id=uuid4(),
        name="ci",
        scopes=frozenset({Permission.USE_OWN_ACCOUNTS}),
        created_at=NOW,
        expires_at=NOW + timedelta(days=1),
    )
    assert key.lives(key.expires_at - timedelta(microseconds=1))
    assert not key.lives(key.expires_at)


def test_what_is_missing_or_not_possible_has_a_stable_code_and_says_so() -> None:
    errors = (api_key_not_found(), too_many_api_keys())
    assert [(error.category.value, error.code, error.message) for error in errors] == [
        ("not_found", "api_key_not_found", "You have no such API key."),
        ("conflict", "too_many_api_keys", "You have 20 API keys; revoke one first."),
    ]
