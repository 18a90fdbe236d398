"""Judging a code of the second factor; each counts once."""

from enum import StrEnum

import structlog

from daemons.shared.audit.record import Origin
from daemons.shared.mongo import Session
from daemons.user_api.audit_entries import SecurityEvent, event_of, person
from daemons.user_api.parts import Parts
from daemons.user_api.second_factor.factor import (
    SecondFactor,
    invalid_totp,
    matching_step,
    recovery_digest,
    totp_required,
)
from daemons.user_api.users.user import User

_log = structlog.get_logger()


class Proof(StrEnum):
    """What a second factor was proved by."""

    TOTP = "totp"
    RECOVERY_CODE = "recovery_code"


async def prove_second_factor(parts: Parts, user: User, code: str | None, *, origin: Origin) -> Proof:
    """Return what the code is, a fresh one of the user's app or an unused recovery code; it is used up then.

    Raises:
        UnauthenticatedError: `totp_required` without a code, `invalid_totp`.
        TransientError: `unavailable`.
    """
    if code is None:
        raise totp_required()
    factor = await parts.second_factors.find(user.id)
    proof = None if factor is None else await _use_up(parts, user, factor, code, origin)
    if proof is None:
        _log.warning("second factor refused", user_id=str(user.id), address=origin.address)
        raise invalid_totp()
    return proof


async def _use_up(parts: Parts, user: User, factor: SecondFactor, code: str, origin: Origin) -> Proof | None:
    secret = parts.sealer.open(factor.sealed_secret, factor.user_id)
    step = matching_step(secret, code, parts.clock()) if secret is not None else None
    if step is not None:
        return Proof.TOTP if await parts.second_factors.use_step(user.id, step) else None
    digest = recovery_digest(code)
    if digest not in factor.recovery_digests:
        return None

    async def alongside(left: int, session: Session) -> None:
        entry = event_of(
            parts,
            person(user, origin),
            SecurityEvent.USE_RECOVERY_CODE,
            user.id,
            before={"recovery_codes": left + 1},
            after={"recovery_codes": left},
        )
        await parts.audit.append([entry], session=session)

    async with parts.audit.turn():
        used = await parts.second_factors.use_recovery_code(user.id, digest, alongside=alongside)
    if not used:
        return None
    _log.warning("recovery code used", user_id=str(user.id), left=len(factor.recovery_digests) - 1)
    return Proof.RECOVERY_CODE
