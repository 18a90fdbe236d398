"""Service tokens: short-lived proof of which daemon of the bank calls.

Each calling daemon signs with a key of its own. A daemon that is called has the public keys of its callers
only, so it cannot call in their names, and none of them can call in the name of another.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from daemons.contracts.errors import UnauthenticatedError
from daemons.contracts.names import Code
from daemons.shared.auth import signed_tokens
from daemons.shared.auth.keys import key_id
from daemons.shared.clock import Clock, utc_now
from daemons.shared.ids import new_id

SERVICE_TOKEN_HEADER = "Authorization"  # noqa: S105 - the name of a header
_TYPE = "service+jwt"
_LIFETIME = timedelta(seconds=60)
_REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub", "jti"]


class ServiceTokenSigner:
    """Makes the service tokens of one daemon, `name`."""

    def __init__(self, name: str, key: Ed25519PrivateKey, *, clock: Clock = utc_now) -> None:
        self._name = name
        self._key = key
        self._clock = clock

    def header_for(self, callee: str) -> dict[str, str]:
        """Return the header for a call to another daemon."""
        now = self._clock()
        claims = {
            "iss": self._name,
            "sub": self._name,
            "aud": callee,
            "iat": now,
            "exp": now + _LIFETIME,
            "jti": str(new_id()),
        }
        token = signed_tokens.sign(claims, self._key, typ=_TYPE)
        return {SERVICE_TOKEN_HEADER: f"Bearer {token}"}


class ServiceTokenVerifier:
    """Checks the tokens of those who call the daemon `name`.

    `callers` has the public keys of each; a daemon has two while its key is being replaced.
    """

    def __init__(
        self, name: str, callers: Mapping[str, Sequence[Ed25519PublicKey]], *, clock: Clock = utc_now
    ) -> None:
        self._name = name
        self._keys = {key_id(key): (caller, key) for caller, keys in callers.items() for key in keys}
        self._clock = clock

    def verify(self, header: str | None) -> str:
        """Return the calling daemon's name.

        Raises:
            UnauthenticatedError: there is no token from a known daemon for this one.
        """
        scheme, _, token = (header or "").partition(" ")
        known = self._keys.get(signed_tokens.named_key(token, typ=_TYPE) or "")
        if scheme != "Bearer" or known is None:
            raise _not_a_daemon()
        caller, key = known
        try:
            signed_tokens.read(
                token,
                key,
                audience=self._name,
                issuer=caller,
                required=_REQUIRED_CLAIMS,
                now=self._clock(),
            )
        except signed_tokens.InvalidTokenError:
            raise _not_a_daemon() from None
        return caller


def _not_a_daemon() -> UnauthenticatedError:
    return UnauthenticatedError(
        Code.NOT_SIGNED_IN, "This route is for other daemons and needs a service token."
    )
