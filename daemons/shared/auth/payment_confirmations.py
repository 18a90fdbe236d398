"""Confirmations of payments: a person has proved their second factor for just this (docs/adr/0034).

user_api signs them, banking_api verifies them without asking. What they confirm is one payment or one batch:
its accounts, payee, amount, currency and idempotency key, or the digest of its rows. The key pays once, and
so does its confirmation.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from daemons.contracts.names import Daemon
from daemons.shared.auth import signed_tokens
from daemons.shared.auth.session_tokens import ISSUER
from daemons.shared.clock import Clock, utc_now

LIFETIME = timedelta(minutes=5)
_AUDIENCE = Daemon.BANKING_API.value
_TYPE = "payment-confirmation+jwt"
_REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub", "jti", "payment"]


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a valid confirmation says: who has confirmed what. The id is that of the audit's entry."""

    id: UUID
    user_id: UUID
    payment: Mapping[str, Any]


class ConfirmationSigner:
    """Signs confirmations; lives in user_api only."""

    def __init__(self, key: Ed25519PrivateKey, *, previous: Sequence[Ed25519PrivateKey] = ()) -> None:
        self._key = key
        self.public_keys = [signed_tokens.describe_key(one.public_key()) for one in (key, *previous)]

    def sign(self, confirmed: Confirmed, *, at: datetime) -> str:
        """Return a confirmation of just this payment."""
        claims = {
            "iss": ISSUER,
            "aud": _AUDIENCE,
            "sub": str(confirmed.user_id),
            "jti": str(confirmed.id),
            "iat": at,
            "exp": at + LIFETIME,
            "payment": dict(confirmed.payment),
        }
        return signed_tokens.sign(claims, self._key, typ=_TYPE)


class ConfirmationVerifier:
    """Verifies confirmations against user_api's published keys."""

    def __init__(self, keys: Mapping[str, Ed25519PublicKey], *, clock: Clock = utc_now) -> None:
        self._keys = dict(keys)
        self._clock = clock

    def knows(self, token: str) -> bool:
        """Tell whether the token names a key of the allow-list."""
        return self._key_of(token) is not None

    def verify(self, token: str) -> Confirmed:
        """Check signature, type, times, issuer and audience.

        Raises:
            InvalidTokenError: it is not one of user_api's, or not any more.
        """
        key = self._key_of(token)
        if key is None:
            raise signed_tokens.InvalidTokenError
        try:
            claims = signed_tokens.read(
                token,
                key,
                audience=_AUDIENCE,
                issuer=ISSUER,
                required=_REQUIRED_CLAIMS,
                now=self._clock(),
            )
            return Confirmed(UUID(claims["jti"]), UUID(claims["sub"]), dict(claims["payment"]))
        except (ValueError, TypeError, AttributeError) as error:
            raise signed_tokens.InvalidTokenError from error

    def _key_of(self, token: str) -> Ed25519PublicKey | None:
        return self._keys.get(signed_tokens.named_key(token, typ=_TYPE) or "")


def confirmation_verifier(
    keys: Iterable[Mapping[str, Any]], *, clock: Clock = utc_now
) -> ConfirmationVerifier:
    """Build a verifier from user_api's published keys."""
    return ConfirmationVerifier(signed_tokens.described_keys(keys), clock=clock)
