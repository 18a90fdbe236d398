"""Codes of the second factor."""

import hashlib
from datetime import UTC, datetime

import pytest

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

# The secret of RFC 6238, appendix B, and two of its codes for SHA-1, cut to six digits.
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
RFC_CODES = {1111111109: "081804", 1234567890: "005924"}


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


def test_what_is_missing_or_not_possible_has_a_stable_code_and_says_so() -> None:
    errors = (totp_required(), invalid_totp(), totp_already_active(), totp_not_active())
    assert [(error.category.value, error.code, error.message) for error in errors] == [
        ("unauthenticated", "totp_required", "Sign in again with the code of your second factor."),
        ("unauthenticated", "invalid_totp", "The code is wrong, too old, or was used already."),
        ("conflict", "totp_already_active", "You have a second factor; remove it first."),
        ("conflict", "totp_not_active", "There is no second factor to confirm or remove; enrol first."),
    ]
