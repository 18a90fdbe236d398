"""Enrolling in a second factor, and giving it up."""

import base64
import secrets
from dataclasses import dataclass, field
from uuid import UUID

import pyotp
import structlog

from daemons.shared.auth.callers import Caller
from daemons.user_api.domain.second_factor import (
    RECOVERY_CODES,
    SecondFactor,
    enrolment_uri,
    invalid_totp,
    matching_step,
    recovery_digest,
    totp_already_active,
    totp_not_active,
)
from daemons.user_api.services.confirm_password import confirm_password
from daemons.user_api.services.count_attempt import counted_attempt
from daemons.user_api.services.look_up_users import find_user
from daemons.user_api.services.parts import Parts
from daemons.user_api.services.prove_second_factor import prove_second_factor

_log = structlog.get_logger()
_RECOVERY_CODE_BYTES = 10
_GROUP = 4


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the user's app needs; it leaves the daemon this once."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


async def begin_enrolment(parts: Parts, caller: Caller, *, password: str, address: str) -> Enrolment:
    """Make a secret for the user's app; it counts when a code of it has confirmed it.

    Raises:
        UnauthenticatedError: `invalid_credentials`, the password is wrong.
        ConflictError: `totp_already_active`.
        TransientError: `rate_limited`, `overloaded` or `unavailable`.
    """
    user = await find_user(parts, caller.user_id)
    await confirm_password(parts, user, password, address=address)
    secret = pyotp.random_base32()
    factor = SecondFactor(user_id=user.id, sealed_secret=parts.sealer.seal(secret, user.id))
    if not await parts.second_factors.begin(factor):
        raise totp_already_active()
    return Enrolment(secret, enrolment_uri(secret, user.email))


async def confirm_enrolment(parts: Parts, caller: Caller, *, code: str, address: str) -> list[str]:
    """Make the second factor count, end the user's other sessions, and return the recovery codes.

    Raises:
        UnauthenticatedError: `invalid_totp`.
        ConflictError: `totp_not_active`, nothing was begun; `totp_already_active`.
        TransientError: `rate_limited` or `unavailable`.
    """
    user = await find_user(parts, caller.user_id)
    factor = await parts.second_factors.find(user.id)
    if factor is None:
        raise totp_not_active()
    if factor.confirmed:
        raise totp_already_active()
    async with counted_attempt(parts, account=user.email, address=address):
        secret = parts.sealer.open(factor.sealed_secret, user.id)
        step = matching_step(secret, code, parts.clock()) if secret is not None else None
        if step is None:
            raise invalid_totp()
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    confirmed = await parts.second_factors.confirm(
        factor,
        step=step,
        recovery_digests=[recovery_digest(one) for one in codes],
        kept_session=caller.session_id,
    )
    if not confirmed:
        raise totp_already_active()
    _log.info("second factor active", user_id=str(user.id))
    return codes


async def remove_second_factor(
    parts: Parts, caller: Caller, *, password: str, code: str, address: str
) -> None:
    """Give the second factor up, with both factors at hand; ends the user's other sessions.

    Raises:
        UnauthenticatedError: `invalid_credentials` or `invalid_totp`.
        ConflictError: `totp_not_active`.
        TransientError: `rate_limited`, `overloaded` or `unavailable`.
    """
    user = await find_user(parts, caller.user_id)
    if not user.second_factor:
        raise totp_not_active()
    await confirm_password(parts, user, password, address=address)
    async with counted_attempt(parts, account=user.email, address=address, forgets=True):
        await prove_second_factor(parts, user, code, address=address)
    await _remove(parts, user.id, kept_session=caller.session_id)


async def _remove(parts: Parts, user_id: UUID, *, kept_session: UUID | None) -> None:
    if not await parts.second_factors.remove(user_id, kept_session=kept_session):
        raise totp_not_active()
    _log.warning("second factor removed", user_id=str(user_id))


def _recovery_code() -> str:
    """Return 80 random bits as four groups of four letters and digits."""
    text = base64.b32encode(secrets.token_bytes(_RECOVERY_CODE_BYTES)).decode()
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))
