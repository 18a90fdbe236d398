"""Judging a code of the second factor; each counts once."""

import structlog

from daemons.contracts.errors import UnauthenticatedError
from daemons.user_api.domain.second_factor import (
    SecondFactor,
    invalid_totp,
    matching_step,
    recovery_digest,
    totp_required,
)
from daemons.user_api.domain.user import User
from daemons.user_api.services.parts import Parts

_log = structlog.get_logger()


async def prove_second_factor(parts: Parts, user: User, code: str | None, *, address: str) -> None:
    """Return if the code is a fresh one of the user's app, or an unused recovery code; it is used up then.

    Raises:
        UnauthenticatedError: `totp_required` without a code, `invalid_totp`.
        TransientError: `unavailable`.
    """
    if code is None:
        raise totp_required()
    factor = await parts.second_factors.find(user.id)
    if factor is not None and await _is_used_up_now(parts, factor, code):
        return
    raise _refused(user, address)


async def _is_used_up_now(parts: Parts, factor: SecondFactor, code: str) -> bool:
    secret = parts.sealer.open(factor.sealed_secret, factor.user_id)
    step = matching_step(secret, code, parts.clock()) if secret is not None else None
    if step is not None:
        return await parts.second_factors.use_step(factor.user_id, step)
    if await parts.second_factors.use_recovery_code(factor.user_id, recovery_digest(code)):
        left = len(factor.recovery_digests) - 1
        _log.warning("recovery code used", user_id=str(factor.user_id), left=left)
        return True
    return False


def _refused(user: User, address: str) -> UnauthenticatedError:
    _log.warning("second factor refused", user_id=str(user.id), address=address)
    return invalid_totp()
