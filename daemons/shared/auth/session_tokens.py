"""Session tokens: a signed statement that a session was begun; whether it still lives is asked elsewhere."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm

from daemons.contracts.errors import UnauthenticatedError
from daemons.shared.ids import new_id

SESSION_COOKIE = "__Host-bankctl"
ISSUER = "bankctl/user_api"
AUDIENCE = ("user_api", "banking_api", "notifier")
_ALGORITHM = "EdDSA"
_TYPE = "session+jwt"
_REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub", "sid", "jti"]


@dataclass(frozen=True, slots=True)
class SessionClaims:
    """What a valid session token says."""

    user_id: UUID
    session_id: UUID
    expires_at_epoch_seconds: int


class SessionSigner:
    """Signs session tokens; lives in user_api only."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.key_id, self._public_jwk = _describe(key.public_key())

    def sign(self, *, user_id: UUID, session_id: UUID, issued_at: datetime, expires_at: datetime) -> str:
        """Return the token of a new session."""
        claims = {
            "iss": ISSUER,
            "aud": list(AUDIENCE),
            "sub": str(user_id),
            "sid": str(session_id),
            "jti": str(new_id()),
            "iat": issued_at,
            "exp": expires_at,
        }
        headers = {"kid": self.key_id, "typ": _TYPE}
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers=headers)

    def public_keys(self) -> dict[str, Any]:
        """Return the JSON Web Key Set (RFC 7517) that lets others verify."""
        return {"keys": [self._public_jwk]}


class SessionVerifier:
    """Verifies session tokens against an allow-list of published keys; takes no key from the token."""

    def __init__(self, audience: str, keys: Mapping[str, Ed25519PublicKey]) -> None:
        self._audience = audience
        self._keys = dict(keys)

    def knows(self, token: str) -> bool:
        """Tell whether the token names a key of the allow-list."""
        return _key_id(token) in self._keys

    def verify(self, token: str) -> SessionClaims:
        """Check signature, type, times, issuer and audience.

        Raises:
            UnauthenticatedError: with code `session_ended` when it has merely expired, else `not_signed_in`.
        """
        key = self._keys.get(_key_id(token))
        if key is None:
            raise not_signed_in()
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                audience=self._audience,
                issuer=ISSUER,
                options={"require": _REQUIRED_CLAIMS},
            )
            return SessionClaims(UUID(claims["sub"]), UUID(claims["sid"]), int(claims["exp"]))
        except jwt.ExpiredSignatureError:
            raise session_ended() from None
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError):
            raise not_signed_in() from None


def verifier_from_jwks(audience: str, key_set: Mapping[str, Any]) -> SessionVerifier:
    """Build a verifier from user_api's published keys, leaving out any that are not Ed25519."""
    keys: dict[str, Ed25519PublicKey] = {}
    for jwk in key_set.get("keys", []):
        key = OKPAlgorithm.from_jwk(jwk)
        if isinstance(key, Ed25519PublicKey):
            keys[jwk["kid"]] = key
    return SessionVerifier(audience, keys)


def not_signed_in() -> UnauthenticatedError:
    """The error for a request without a usable session token."""
    return UnauthenticatedError("not_signed_in", "Sign in first.")


def session_ended() -> UnauthenticatedError:
    """The error for a session that is over: expired, logged out, or ended by an administrator."""
    return UnauthenticatedError("session_ended", "The session has ended; sign in again.")


def _key_id(token: str) -> str:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.InvalidTokenError:
        raise not_signed_in() from None
    # The type tells a session token from any other that the same key might ever sign (RFC 8725 §3.11).
    return str(header.get("kid")) if header.get("typ") == _TYPE else ""


def _describe(key: Ed25519PublicKey) -> tuple[str, dict[str, Any]]:
    jwk: dict[str, Any] = json.loads(OKPAlgorithm.to_jwk(key))
    key_id = str(jwk["x"])[:16]
    return key_id, {**jwk, "kid": key_id, "use": "sig", "alg": _ALGORITHM}
