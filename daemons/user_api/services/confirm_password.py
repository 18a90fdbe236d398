"""Asking for the password again before what a stolen session must not do."""

import structlog

from daemons.contracts.errors import UnauthenticatedError
from daemons.shared.audit.record import Origin
from daemons.user_api.domain.password import normalise_password
from daemons.user_api.domain.user import User
from daemons.user_api.services.count_attempt import counted_attempt
from daemons.user_api.services.parts import Parts
from daemons.user_api.services.witness import SecurityEvent

_log = structlog.get_logger()


async def confirm_password(parts: Parts, user: User, password: str, *, origin: Origin) -> None:
    """Return if this is the user's password; guesses count as at sign-in, a success forgets none.

    Raises:
        UnauthenticatedError: `invalid_credentials`.
        TransientError: `rate_limited`, `overloaded` or `unavailable`.
    """
    refusal = SecurityEvent.CONFIRMATION_REFUSED
    async with counted_attempt(parts, account=user.email, origin=origin, refusal=refusal, user=user):
        if not await parts.hasher.verify(normalise_password(password), user.password_hash):
            _log.warning("password not confirmed", user_id=str(user.id), address=origin.address)
            raise invalid_credentials()


def invalid_credentials() -> UnauthenticatedError:
    """The one error for an unknown address and a wrong password."""
    return UnauthenticatedError("invalid_credentials", "The email address or the password is wrong.")
