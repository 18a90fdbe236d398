"""Service tokens: short-lived proof that a call comes from another daemon of the same bank.

Every daemon has `JWT_SECRET` and derives this key from it; it is another key, another algorithm and another
type than the sessions', so neither can stand in for the other.
"""

from datetime import timedelta
from typing import Any

import jwt

from daemons.contracts.errors import UnauthenticatedError
from daemons.shared.auth.keys import derive
from daemons.shared.auth.session_tokens import TIMES_UNCHECKED, check_times
from daemons.shared.clock import Clock, utc_now
from daemons.shared.ids import new_id

SERVICE_TOKEN_HEADER = "Authorization"  # noqa: S105 - the name of a header
_ALGORITHM = "HS256"
_TYPE = "service+jwt"
_LIFETIME = timedelta(seconds=60)
_REQUIRED_CLAIMS = ["exp", "iat", "iss", "aud", "sub", "jti"]


class ServiceTokens:
    """Makes and checks the service tokens of one daemon, `name`.

    Tokens of the `previous` secret are still taken, so that daemons can be given a new one in turn.
    """

    def __init__(
        self, secret: str, *, name: str, previous: str | None = None, clock: Clock = utc_now
    ) -> None:
        secrets = [secret] if previous is None else [secret, previous]
        self._keys = [derive(one, "service-tokens") for one in secrets]
        self._name = name
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
        token = jwt.encode(claims, self._keys[0], algorithm=_ALGORITHM, headers={"typ": _TYPE})
        return {SERVICE_TOKEN_HEADER: f"Bearer {token}"}

    def verify(self, header: str | None) -> str:
        """Return the calling daemon's name.

        Raises:
            UnauthenticatedError: there is no token, or none meant for this daemon.
        """
        scheme, _, token = (header or "").partition(" ")
        if scheme == "Bearer":
            for key in self._keys:
                claims = self._claims_of(token, key)
                if claims is not None:
                    return str(claims["iss"])
        raise UnauthenticatedError(
            "not_signed_in", "This route is for other daemons and needs a service token."
        )

    def _claims_of(self, token: str, key: bytes) -> dict[str, Any] | None:
        try:
            if jwt.get_unverified_header(token).get("typ") != _TYPE:
                return None
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                audience=self._name,
                options={"require": _REQUIRED_CLAIMS, **TIMES_UNCHECKED},
            )
            check_times(claims, self._clock())
        except (jwt.InvalidTokenError, TypeError):
            return None
        return claims
