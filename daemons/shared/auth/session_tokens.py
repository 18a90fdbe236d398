"""Access tokens: a signed, short-lived statement of a session; whether it still lives is asked elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from daemons.contracts.errors import UnauthenticatedError
from daemons.contracts.names import Code, Daemon
from daemons.shared.auth import signed_tokens
from daemons.shared.auth.keys import key_id
from daemons.shared.clock import Clock, utc_now
from daemons.shared.ids import new_id

ISSUER = "bankctl/user_api"
AUDIENCE = tuple(daemon.value for daemon in Daemon)
_TYPE = "session+jwt"
_REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub", "sid", "jti"]


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
        self.key_id = key_id(key.public_key())
        self.public_keys = [signed_tokens.describe_key(one.public_key()) for one in (key, *previous)]
        """The keys that let others verify."""

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
        return signed_tokens.sign(claims, self._key, typ=_TYPE)


class SessionVerifier:
    """Verifies access tokens against an allow-list of published keys; takes no key from the token."""

    def __init__(
        self, audience: str, keys: Mapping[str, Ed25519PublicKey], *, clock: Clock = utc_now
    ) -> None:
        self._audience = audience
        self._keys = dict(keys)
        self._clock = clock

    def knows(self, token: str) -> bool:
        """Tell whether the token names a key of the allow-list.

        Raises:
            UnauthenticatedError: it is not an access token.
        """
        named = signed_tokens.named_key(token, typ=_TYPE)
        if named is None:
            raise not_signed_in()
        return named in self._keys

    def verify(self, token: str) -> SessionClaims:
        """Check signature, type, times, issuer and audience.

        Raises:
            UnauthenticatedError: with code `session_ended` when it has merely expired, else `not_signed_in`.
        """
        key = self._keys.get(signed_tokens.named_key(token, typ=_TYPE) or "")
        if key is None:
            raise not_signed_in()
        try:
            claims = signed_tokens.read(
                token,
                key,
                audience=self._audience,
                issuer=ISSUER,
                required=_REQUIRED_CLAIMS,
                now=self._clock(),
            )
            return SessionClaims(UUID(claims["sub"]), UUID(claims["sid"]), claims["exp"])
        except signed_tokens.ExpiredTokenError:
            raise session_ended() from None
        except (signed_tokens.InvalidTokenError, ValueError, TypeError, AttributeError):
            raise not_signed_in() from None


def verifier_from_jwks(
    audience: str, keys: Iterable[Mapping[str, Any]], *, clock: Clock = utc_now
) -> SessionVerifier:
    """Build a verifier from user_api's published keys."""
    return SessionVerifier(audience, signed_tokens.described_keys(keys), clock=clock)


def not_signed_in() -> UnauthenticatedError:
    """The error for a request without a usable session token."""
    return UnauthenticatedError(Code.NOT_SIGNED_IN, "Sign in first.")


def session_ended() -> UnauthenticatedError:
    """The error for a session that is over: expired, logged out, or ended by an administrator."""
    return UnauthenticatedError(Code.SESSION_ENDED, "The session has ended; sign in again.")
