"""Refresh tokens, codes of the second factor, and what an API key may be made for: the rules alone."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from daemons.contracts.errors import InvalidRequestError
from daemons.contracts.permissions import Permission, Role
from daemons.user_api.api_keys.api_key import ApiKey, api_key_not_found, check_scopes, too_many_api_keys
from daemons.user_api.second_factor.factor import (
    enrolment_uri,
    invalid_totp,
    matching_step,
    normalise_code,
    recovery_digest,
    totp_already_active,
    totp_not_active,
    totp_required,
)
from daemons.user_api.sessions.refresh_token import RefreshToken, digest_of, is_repetition, successor_of
from daemons.user_api.sessions.session import session_not_found
from daemons.user_api.users.user import email_taken, user_not_found

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
# The secret of RFC 6238, appendix B, and two of its codes for SHA-1, cut to six digits.
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
RFC_CODES = {1111111109: "081804", 1234567890: "005924"}
USED = RefreshToken(
    digest=b"used", session_id=uuid4(), expires_at=NOW, used_at=NOW, successor=b"its successor"
)
SUCCESSOR = RefreshToken(digest=b"its successor", session_id=USED.session_id, expires_at=NOW)


def test_an_exchange_is_answered_again_for_ten_seconds_while_its_successor_is_unused() -> None:
    assert is_repetition(USED, SUCCESSOR, NOW + timedelta(seconds=10) - MOMENT)
    assert not is_repetition(USED, SUCCESSOR, NOW + timedelta(seconds=10))
    assert not is_repetition(USED, replace(SUCCESSOR, used_at=NOW), NOW)
    assert not is_repetition(USED, None, NOW)
    assert not is_repetition(replace(USED, used_at=None), SUCCESSOR, NOW)


def test_a_refresh_token_has_one_successor_that_nobody_makes_without_the_key() -> None:
    following = successor_of("token", b"key")
    # HMAC-SHA-256 in base64url without padding, computed with openssl.
    assert following == "ZGuOrAxK5BeCmcm9kk4r8HPfsH4CSQGoyGT2W5Rivw0"
    assert successor_of("token", b"another key") != following
    assert successor_of("another token", b"key") != following
    assert digest_of("token") == hashlib.sha256(b"token").digest()


@pytest.mark.parametrize("seconds", RFC_CODES)
def test_a_code_counts_in_its_own_step_and_in_those_beside_it(seconds: int) -> None:
    code, step = RFC_CODES[seconds], seconds // 30
    for steps_away, matches in ((-2, False), (-1, True), (0, True), (1, True), (2, False)):
        for within in (0, 29):
            now = datetime.fromtimestamp((step + steps_away) * 30 + within, UTC)
            assert matching_step(RFC_SECRET, code, now) == (step if matches else None), now
    now = datetime.fromtimestamp(seconds, UTC)
    assert matching_step(RFC_SECRET, f"{code[:3]} {code[3:]}", now) == step
    assert matching_step(RFC_SECRET, "000000", now) is None
    assert matching_step(RFC_SECRET, "\u0664", now) is None


def test_codes_are_compared_as_people_type_them() -> None:
    assert normalise_code(" abcd-2345 efgh ") == "ABCD2345EFGH"
    assert recovery_digest("abcd-2345") == recovery_digest("ABCD 2345")
    assert recovery_digest("ABCD2345") == hashlib.sha256(b"ABCD2345").digest()


def test_the_app_reads_secret_name_and_issuer() -> None:
    uri = enrolment_uri(RFC_SECRET, "ann@example.com")
    assert uri == f"otpauth://totp/bankctl:ann%40example.com?secret={RFC_SECRET}&issuer=bankctl"


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


def test_what_is_missing_or_not_possible_has_a_stable_code_and_says_so() -> None:
    errors = (
        *(totp_required(), invalid_totp(), totp_already_active(), totp_not_active()),
        *(api_key_not_found(), too_many_api_keys(), session_not_found(), user_not_found(), email_taken()),
    )
    assert [(error.category.value, error.code, error.message) for error in errors] == [
        ("unauthenticated", "totp_required", "Sign in again with the code of your second factor."),
        ("unauthenticated", "invalid_totp", "The code is wrong, too old, or was used already."),
        ("conflict", "totp_already_active", "You have a second factor; remove it first."),
        (
            "conflict",
            "totp_not_active",
            "There is no second factor to confirm or remove; enrol first.",
        ),
        ("not_found", "api_key_not_found", "You have no such API key."),
        ("conflict", "too_many_api_keys", "You have 20 API keys; revoke one first."),
        ("not_found", "session_not_found", "You have no such session."),
        ("not_found", "user_not_found", "There is no such user."),
        ("conflict", "email_taken", "Another user signs in with this email address."),
    ]
