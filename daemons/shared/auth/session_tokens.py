"""Access tokens: a signed, short-lived statement of a session; whether it still lives is asked elsewhere."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm
from jwt.types import Options

from daemons.contracts.errors import UnauthenticatedError
from daemons.shared.clock import Clock, utc_now
from daemons.shared.ids import new_id

SESSION_COOKIE = "__Host-bankctl"
REFRESH_COOKIE = "__Host-bankctl-refresh"
ISSUER = "bankctl/user_api"
AUDIENCE = ("user_api", "banking_api", "notifier")
_ALGORITHM = "EdDSA"
_TYPE = "session+jwt"
_REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub", "sid", "jti"]
# Clocks of several machines differ a little; an expiry is never stretched.
_CLOCK_SKEW = timedelta(seconds=5)
# `check_times` does it: the library would grant its leeway to the expiry too.
TIMES_UNCHECKED: Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}


@dataclass(frozen=True, slots=True)
class SessionClaims:
    """What a valid session token says."""

    user_id: UUID
    session_id: UUID
    expires_at_epoch_seconds: int


class SessionSigner:
    """Signs access tokens; lives in user_api only.

    Keys that were replaced no longer sign, but are published with the present one, so that nobody is signed
    out by a new `JWT_SECRET`.
    """

    def __init__(self, key: Ed25519PrivateKey, *, previous: Sequence[Ed25519PrivateKey] = ()) -> None:
        self._key = key
        self.key_id, present = _describe(key.public_key())
        self._public_jwks = [present, *(_describe(old.public_key())[1] for old in previous)]

    def sign(self, *, user_id: UUID, session_id: UUID, issued_at: datetime, expires_at: datetime) -> str:
        """Return an access token of the session."""
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
        return {"keys": self._public_jwks}


class SessionVerifier:
    """Verifies access tokens against an allow-list of published keys; takes no key from the token."""

    def __init__(
        self, audience: str, keys: Mapping[str, Ed25519PublicKey], *, clock: Clock = utc_now
    ) -> None:
        self._audience = audience
        self._keys = dict(keys)
        self._clock = clock

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
                options={"require": _REQUIRED_CLAIMS, **TIMES_UNCHECKED},
            )
            found = SessionClaims(UUID(claims["sub"]), UUID(claims["sid"]), _seconds(claims["exp"]))
            check_times(claims, self._clock())
        except jwt.ExpiredSignatureError:
            raise session_ended() from None
        except (jwt.InvalidTokenError, ValueError, TypeError, AttributeError):
            raise not_signed_in() from None
        return found


def check_times(claims: Mapping[str, Any], now: datetime) -> None:
    """Check when a token begins, by clocks that differ a little, and that it has not ended.

    Raises:
        ImmatureSignatureError: it begins later.
        ExpiredSignatureError: it has ended.
        TypeError: a time is not a whole number of seconds.
    """
    begins = max(_seconds(claims["iat"]), _seconds(claims.get("nbf", 0)))
    if begins > (now + _CLOCK_SKEW).timestamp():
        raise jwt.ImmatureSignatureError
    if _seconds(claims["exp"]) <= now.timestamp():
        raise jwt.ExpiredSignatureError


def verifier_from_jwks(
    audience: str, key_set: Mapping[str, Any], *, clock: Clock = utc_now
) -> SessionVerifier:
    """Build a verifier from user_api's published keys, leaving out any that are not Ed25519."""
    keys: dict[str, Ed25519PublicKey] = {}
    for jwk in key_set.get("keys", []):
        key = OKPAlgorithm.from_jwk(jwk)
        if isinstance(key, Ed25519PublicKey):
            keys[jwk["kid"]] = key
    return SessionVerifier(audience, keys, clock=clock)


def not_signed_in() -> UnauthenticatedError:
    """The error for a request without a usable session token."""
    return UnauthenticatedError("not_signed_in", "Sign in first.")


def session_ended() -> UnauthenticatedError:
    """The error for a session that is over: expired, logged out, or ended by an administrator."""
    return UnauthenticatedError("session_ended", "The session has ended; sign in again.")


def _key_id(token: str) -> str:
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError):
        # The library encodes before it looks: bytes that are no text are a ValueError of the codec.
        raise not_signed_in() from None
    # The type tells an access token from any other that the same key might ever sign (RFC 8725 §3.11), and
    # `crit` asks for extensions that nobody here understands (RFC 7515 §4.1.11).
    if header.get("typ") != _TYPE or "crit" in header:
        return ""
    return str(header.get("kid"))


def _seconds(claim: object) -> int:
    if isinstance(claim, bool) or not isinstance(claim, int):
        raise TypeError
    return claim


def _describe(key: Ed25519PublicKey) -> tuple[str, dict[str, Any]]:
    jwk: dict[str, Any] = json.loads(OKPAlgorithm.to_jwk(key))
    key_id = str(jwk["x"])[:16]
    return key_id, {**jwk, "kid": key_id, "use": "sig", "alg": _ALGORITHM}
