"""Users' passwords: hashed, checked against the rules for new ones, and asked for again."""

import structlog

from daemons.contracts.errors import UnauthenticatedError
from daemons.shared.audit.record import Origin
from daemons.user_api.attempts.service import AttemptCounter
from daemons.user_api.security_events import SecurityEvent
from daemons.user_api.users.argon2_hasher import Argon2Hasher
from daemons.user_api.users.common_passwords import common_passwords
from daemons.user_api.users.password import check_new_password, normalise_password
from daemons.user_api.users.user import User

_log = structlog.get_logger()


async def hash_new_password(
    hasher: Argon2Hasher, password: str, *, field: str, email: str, display_name: str
) -> str:
    """Return the hash of a new password that the rules accept.

    Raises:
        InvalidRequestError: `weak_password`, naming the field.
        TransientError: `overloaded`.
    """
    secret = normalise_password(password)
    check_new_password(secret, field=field, email=email, display_name=display_name, common=common_passwords())
    return await hasher.hash(secret)


class PasswordConfirmation:
    """Asks for the password again before what a stolen session must not do."""

    def __init__(self, hasher: Argon2Hasher, attempts: AttemptCounter) -> None:
        self._hasher = hasher
        self._attempts = attempts

    async def confirm(self, user: User, password: str, *, origin: Origin) -> None:
        """Return if this is the user's password; guesses count as at sign-in, a success forgets none.

        Raises:
            UnauthenticatedError: `invalid_credentials`.
            TransientError: `rate_limited`, `overloaded` or `unavailable`.
        """
        refusal = SecurityEvent.CONFIRMATION_REFUSED
        async with self._attempts.counted(user.email, origin, refusal, actor=user.acting(origin)):
            if not await self._hasher.verify(normalise_password(password), user.password_hash):
                _log.warning("password not confirmed", user_id=str(user.id), address=origin.address)
                raise invalid_credentials()


def invalid_credentials() -> UnauthenticatedError:
    """The one error for an unknown address and a wrong password."""
    return UnauthenticatedError("invalid_credentials", "The email address or the password is wrong.")
