"""Refresh tokens: one successor each, and when an old one is a repetition."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from daemons.user_api.sessions.refresh_token import RefreshToken, digest_of, is_repetition, successor_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
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
