"""Enrolling in a second factor, and giving it up."""

import base64
import secrets
from dataclasses import dataclass, field

import pyotp
import structlog

from daemons.shared.audit.record import Origin
from daemons.shared.auth.callers import Caller
from daemons.user_api.attempts.service import counted_attempt
from daemons.user_api.audit_entries import SecurityEvent, acting, event_of
from daemons.user_api.parts import Parts
from daemons.user_api.second_factor.factor import (
    RECOVERY_CODES,
    SecondFactor,
    enrolment_uri,
    invalid_totp,
    matching_step,
    recovery_digest,
    totp_already_active,
    totp_not_active,
)
from daemons.user_api.users.confirm_password import confirm_password, confirm_second_factor
from daemons.user_api.users.look_up import find_user

_log = structlog.get_logger()
_RECOVERY_CODE_BYTES = 10
_GROUP = 4


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the user's app needs; it leaves the daemon this once."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


async def begin_enrolment(parts: Parts, caller: Caller, *, password: str, origin: Origin) -> Enrolment:
    """Make a secret for the user's app; it counts when a code of it has confirmed it.

    Raises:
        UnauthenticatedError: `invalid_credentials`, the password is wrong.
        ConflictError: `totp_already_active`.
        TransientError: `rate_limited`, `overloaded` or `unavailable`.
    """
    user = await find_user(parts, caller.user_id)
    await confirm_password(parts, user, password, origin=origin)
    secret = pyotp.random_base32()
    factor = SecondFactor(user_id=user.id, sealed_secret=parts.sealer.seal(secret, user.id))
    entry = event_of(parts, acting(caller, origin), SecurityEvent.BEGIN_SECOND_FACTOR, user.id)
    async with parts.audit.turn():
        begun = await parts.second_factors.begin(factor, alongside=parts.audit.recording(entry))
    if not begun:
        raise totp_already_active()
    return Enrolment(secret, enrolment_uri(secret, user.email))


async def confirm_enrolment(parts: Parts, caller: Caller, *, code: str, origin: Origin) -> list[str]:
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
    refusal = SecurityEvent.CONFIRMATION_REFUSED
    async with counted_attempt(parts, account=user.email, origin=origin, refusal=refusal, user=user):
        secret = parts.sealer.open(factor.sealed_secret, user.id)
        step = matching_step(secret, code, parts.clock()) if secret is not None else None
        if step is None:
            raise invalid_totp()
    codes = [_recovery_code() for _ in range(RECOVERY_CODES)]
    entry = event_of(
        parts,
        acting(caller, origin),
        SecurityEvent.CONFIRM_SECOND_FACTOR,
        user.id,
        before={"second_factor": False},
        after={"second_factor": True, "recovery_codes": len(codes)},
    )
    async with parts.audit.turn():
        confirmed = await parts.second_factors.confirm(
            factor,
            step=step,
            recovery_digests=[recovery_digest(one) for one in codes],
            kept_session=caller.session_id,
            alongside=parts.audit.recording(entry),
        )
    if not confirmed:
        raise totp_already_active()
    _log.info("second factor active", user_id=str(user.id))
    return codes


async def remove_second_factor(
    parts: Parts, caller: Caller, *, password: str, code: str, origin: Origin
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
    await confirm_password(parts, user, password, origin=origin)
    await confirm_second_factor(parts, user, code, origin=origin)
    entry = event_of(
        parts,
        acting(caller, origin),
        SecurityEvent.REMOVE_SECOND_FACTOR,
        user.id,
        before={"second_factor": True},
        after={"second_factor": False},
    )
    async with parts.audit.turn():
        removed = await parts.second_factors.remove(
            user.id, kept_session=caller.session_id, alongside=parts.audit.recording(entry)
        )
    if not removed:
        raise totp_not_active()
    _log.warning("second factor removed", user_id=str(user.id))


def _recovery_code() -> str:
    """Return 80 random bits as four groups of four letters and digits."""
    text = base64.b32encode(secrets.token_bytes(_RECOVERY_CODE_BYTES)).decode()
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))
