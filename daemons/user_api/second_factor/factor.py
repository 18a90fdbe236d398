"""The second factor: codes of an app (TOTP, RFC 6238), and recovery codes for the day the app is lost."""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from pyotp import TOTP

from daemons.contracts.errors import ConflictError, UnauthenticatedError
from daemons.contracts.names import Code
from daemons.user_api.typed_codes import normalise_code

ISSUER = "bankctl"
STEP_SECONDS = 30
RECOVERY_CODES = 10
# A code of the step before or after counts too: clocks differ, and people type slowly (RFC 6238 §5.2).
_STEPS_AROUND = (0, -1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactor:
    """A user's second factor; it counts once it is confirmed. No step counts twice (RFC 6238 §5.2)."""

    user_id: UUID
    sealed_secret: bytes = field(repr=False)
    confirmed: bool = False
    last_step: int = 0
    recovery_digests: tuple[bytes, ...] = ()


def matching_step(secret: str, code: str, now: datetime) -> int | None:
    """Return the time step, close to now, whose code this is; None if there is none."""
    totp = TOTP(secret, interval=STEP_SECONDS)
    present = int(now.timestamp()) // STEP_SECONDS
    for around in _STEPS_AROUND:
        if hmac.compare_digest(totp.generate_otp(present + around).encode(), normalise_code(code).encode()):
            return present + around
    return None


def enrolment_uri(secret: str, email: str) -> str:
    """Return what the app reads from the QR code."""
    return TOTP(secret, interval=STEP_SECONDS).provisioning_uri(name=email, issuer_name=ISSUER)


def recovery_digest(code: str) -> bytes:
    """Return the form in which a recovery code is kept; 80 random bits need no slow hash."""
    return hashlib.sha256(normalise_code(code).encode()).digest()


def totp_required() -> UnauthenticatedError:
    """The answer to a right password alone."""
    return UnauthenticatedError(Code.TOTP_REQUIRED, "Sign in again with the code of your second factor.")


def invalid_totp() -> UnauthenticatedError:
    """The error for a code that is wrong, too old, or used already."""
    return UnauthenticatedError("invalid_totp", "The code is wrong, too old, or was used already.")


def totp_already_active() -> ConflictError:
    """The error for a second enrolment."""
    return ConflictError("totp_already_active", "You have a second factor; remove it first.")


def totp_not_active() -> ConflictError:
    """The error for confirming or removing what was not begun."""
    return ConflictError("totp_not_active", "There is no second factor to confirm or remove; enrol first.")
