"""Asking for the password again before what a stolen session must not do."""

import structlog

from daemons.contracts.errors import UnauthenticatedError
from daemons.shared.audit.record import Origin
from daemons.user_api.attempts.service import counted_attempt
from daemons.user_api.audit_entries import SecurityEvent
from daemons.user_api.parts import Parts
from daemons.user_api.second_factor.factor import totp_required
from daemons.user_api.second_factor.prove import prove_second_factor
from daemons.user_api.users.password import normalise_password
from daemons.user_api.users.user import User

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


async def confirm_second_factor(parts: Parts, user: User, code: str | None, *, origin: Origin) -> None:
    """Return if this is a fresh code of the user's second factor, or a recovery code; it is used up then.

    The password was confirmed just before, so that both together forget failures, as a sign-in does.

    Raises:
        UnauthenticatedError: `totp_required` without a code, `invalid_totp`.
        TransientError: `rate_limited` or `unavailable`.
    """
    if code is None:
        raise totp_required()
    refusal = SecurityEvent.CONFIRMATION_REFUSED
    async with counted_attempt(
        parts, account=user.email, origin=origin, refusal=refusal, user=user, forgets=True
    ):
        await prove_second_factor(parts, user, code, origin=origin)


def invalid_credentials() -> UnauthenticatedError:
    """The one error for an unknown address and a wrong password."""
    return UnauthenticatedError("invalid_credentials", "The email address or the password is wrong.")
