"""Enrolling in a second factor, proving it, and giving it up."""

import hmac
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

import pyotp
import structlog

from daemons.contracts.errors import UnauthenticatedError
from daemons.contracts.permissions import Role
from daemons.shared.audit.record import SHELL, Origin
from daemons.shared.auth.callers import Caller
from daemons.shared.clock import Clock
from daemons.user_api.attempts.service import AttemptCounter
from daemons.user_api.mail.message import Template
from daemons.user_api.mail.notices import notify
from daemons.user_api.second_factor.factor import (
    RECOVERY_CODES,
    SecondFactor,
    enrolment_uri,
    invalid_totp,
    matching_step,
    recovery_digest,
    totp_already_active,
    totp_not_active,
    totp_required,
)
from daemons.user_api.second_factor.sealing import Sealer
from daemons.user_api.second_factor.storage import MongoSecondFactors
from daemons.user_api.security_events import SecurityEvent, acting, event_of
from daemons.user_api.typed_codes import CODE_BYTES, write_code
from daemons.user_api.unit_of_work import UserTransaction, UserWork
from daemons.user_api.users.passwords import PasswordConfirmation
from daemons.user_api.users.service import Users
from daemons.user_api.users.user import User, enrolment_digest

_log = structlog.get_logger()


class Proof(StrEnum):
    """What a second factor was proved by."""

    TOTP = "totp"
    RECOVERY_CODE = "recovery_code"


class FactorProof:
    """Judges codes of second factors; each counts once."""

    def __init__(
        self,
        work: UserWork,
        store: MongoSecondFactors,
        sealer: Sealer,
        attempts: AttemptCounter,
        *,
        clock: Clock,
    ) -> None:
        self._work = work
        self._store = store
        self._sealer = sealer
        self._attempts = attempts
        self._clock = clock

    async def prove(self, user: User, code: str | None, *, origin: Origin) -> Proof:
        """Return what the code is, a fresh one of the user's app or an unused recovery code; it is used up.

        Raises:
            UnauthenticatedError: `totp_required` without a code, `invalid_totp`.
            TransientError: `unavailable`.
        """
        if code is None:
            raise totp_required()
        factor = await self._store.find(user.id)
        proof = None if factor is None else await self._use_up(user, factor, code, origin)
        if proof is None:
            _log.warning("second factor refused", user_id=str(user.id), address=origin.address)
            raise invalid_totp()
        return proof

    async def confirm(self, user: User, code: str | None, *, origin: Origin) -> None:
        """Prove the factor before what a stolen session must not do; guesses count as at sign-in.

        The password was confirmed just before, so that both together forget failures, as a sign-in does.

        Raises:
            UnauthenticatedError: `totp_required` without a code, `invalid_totp`.
            TransientError: `rate_limited` or `unavailable`.
        """
        if code is None:
            raise totp_required()
        refusal, actor = SecurityEvent.CONFIRMATION_REFUSED, user.acting(origin)
        async with self._attempts.counted(user.email, origin, refusal, actor=actor, forgets=True):
            await self.prove(user, code, origin=origin)

    async def _use_up(self, user: User, factor: SecondFactor, code: str, origin: Origin) -> Proof | None:
        secret = self._sealer.open(factor.sealed_secret, factor.user_id)
        step = matching_step(secret, code, self._clock()) if secret is not None else None
        if step is not None:
            return Proof.TOTP if await self._store.use_step(user.id, step) else None
        digest = recovery_digest(code)
        if digest not in factor.recovery_digests:
            return None
        actor, now = user.acting(origin), self._clock()
        async for attempt in self._work.attempts():
            async with attempt as tx:
                left = await tx.second_factors.use_recovery_code(user.id, digest)
                if left is not None:
                    used, before, after = SecurityEvent.USE_RECOVERY_CODE, left + 1, left
                    tx.audit(
                        event_of(
                            now,
                            actor,
                            used,
                            user.id,
                            before={"recovery_codes": before},
                            after={"recovery_codes": after},
                        )
                    )
        if left is None:
            return None
        _log.warning("recovery code used", user_id=str(user.id), left=left)
        return Proof.RECOVERY_CODE


@dataclass(frozen=True, slots=True)
class NewEnrolment:
    """What the user's app needs; it leaves the daemon this once."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)


class SecondFactors:
    """What users do with their own second factor."""

    def __init__(
        self,
        work: UserWork,
        store: MongoSecondFactors,
        sealer: Sealer,
        *,
        users: Users,
        passwords: PasswordConfirmation,
        proof: FactorProof,
        attempts: AttemptCounter,
        code_roles: frozenset[Role],
        clock: Clock,
    ) -> None:
        self._code_roles = code_roles
        self._work = work
        self._store = store
        self._sealer = sealer
        self._users = users
        self._passwords = passwords
        self._proof = proof
        self._attempts = attempts
        self._clock = clock

    async def begin(
        self, caller: Caller, *, password: str, enrolment_code: str | None = None, origin: Origin
    ) -> NewEnrolment:
        """Make a secret for the user's app; it counts when a code of it has confirmed it.

        Those whose role needs a second factor show a code that an admin or the server's shell has handed out:
        somebody who has only their password does not become them.

        Raises:
            UnauthenticatedError: `invalid_credentials`, the password is wrong; `enrolment_code_required`,
                `invalid_enrolment_code`.
            ConflictError: `totp_already_active`.
            TransientError: `rate_limited`, `overloaded` or `unavailable`.
        """
        user = await self._users.find(caller.user_id)
        await self._passwords.confirm(user, password, origin=origin)
        if user.role in self._code_roles:
            await self._check_code(user, enrolment_code, origin)
        secret = pyotp.random_base32()
        factor = SecondFactor(user_id=user.id, sealed_secret=self._sealer.seal(secret, user.id))
        begun = SecurityEvent.BEGIN_SECOND_FACTOR
        entry = event_of(self._clock(), acting(caller, origin), begun, user.id)
        async for attempt in self._work.attempts():
            async with attempt as tx:
                await tx.second_factors.begin(factor)
                tx.audit(entry)
        return NewEnrolment(secret, enrolment_uri(secret, user.email))

    async def _check_code(self, user: User, code: str | None, origin: Origin) -> None:
        if code is None:
            raise UnauthenticatedError(
                "enrolment_code_required", "Your role enrols with a code; ask an administrator for one."
            )
        refusal, person = SecurityEvent.CONFIRMATION_REFUSED, user.acting(origin)
        async with self._attempts.counted(user.email, origin, refusal, actor=person):
            known = user.enrolment
            good = (
                known is not None
                and self._clock() < known.expires_at
                and hmac.compare_digest(known.digest, enrolment_digest(code))
            )
            if not good:
                raise UnauthenticatedError(
                    "invalid_enrolment_code", "The enrolment code is wrong, too old, or was used already."
                )

    async def confirm(self, caller: Caller, *, code: str, origin: Origin) -> list[str]:
        """Make the second factor count, end the user's other sessions, and return the recovery codes.

        Raises:
            UnauthenticatedError: `invalid_totp`.
            ConflictError: `totp_not_active`, nothing was begun; `totp_already_active`.
            TransientError: `rate_limited` or `unavailable`.
        """
        user = await self._users.find(caller.user_id)
        factor = await self._store.find(user.id)
        if factor is None:
            raise totp_not_active()
        if factor.confirmed:
            raise totp_already_active()
        refusal, person = SecurityEvent.CONFIRMATION_REFUSED, user.acting(origin)
        async with self._attempts.counted(user.email, origin, refusal, actor=person):
            secret = self._sealer.open(factor.sealed_secret, user.id)
            step = matching_step(secret, code, self._clock()) if secret is not None else None
            if step is None:
                raise invalid_totp()
        codes = [write_code(secrets.token_bytes(CODE_BYTES)) for _ in range(RECOVERY_CODES)]
        entry = event_of(
            self._clock(),
            acting(caller, origin),
            SecurityEvent.CONFIRM_SECOND_FACTOR,
            user.id,
            before={"second_factor": False},
            after={"second_factor": True, "recovery_codes": len(codes)},
        )
        digests = [recovery_digest(one) for one in codes]
        async for attempt in self._work.attempts():
            async with attempt as tx:
                if not await tx.second_factors.confirm(factor, step=step, recovery_digests=digests):
                    raise totp_already_active()
                await _mark(tx, user.id, has_factor=True, kept_session=caller.session_id)
                await notify(tx, user, Template.SECOND_FACTOR_ACTIVE, entry.at, address=origin.address)
                tx.audit(entry)
        _log.info("second factor active", user_id=str(user.id))
        return codes

    async def remove(self, caller: Caller, *, password: str, code: str, origin: Origin) -> None:
        """Give the second factor up, with both factors at hand; ends the user's other sessions.

        Raises:
            UnauthenticatedError: `invalid_credentials` or `invalid_totp`.
            ConflictError: `totp_not_active`.
            TransientError: `rate_limited`, `overloaded` or `unavailable`.
        """
        user = await self._users.find(caller.user_id)
        if not user.second_factor:
            raise totp_not_active()
        await self._passwords.confirm(user, password, origin=origin)
        await self._proof.confirm(user, code, origin=origin)
        entry = event_of(
            self._clock(),
            acting(caller, origin),
            SecurityEvent.REMOVE_SECOND_FACTOR,
            user.id,
            before={"second_factor": True},
            after={"second_factor": False},
        )
        async for attempt in self._work.attempts():
            async with attempt as tx:
                if not await tx.second_factors.remove(user.id):
                    raise totp_not_active()
                await _mark(tx, user.id, has_factor=False, kept_session=caller.session_id)
                await notify(tx, user, Template.SECOND_FACTOR_REMOVED, entry.at, address=origin.address)
                tx.audit(entry)
        _log.warning("second factor removed", user_id=str(user.id))


async def reseal_all(work: UserWork, store: MongoSecondFactors, sealer: Sealer, *, clock: Clock) -> None:
    """Seal again, each with a record, the secrets that were sealed under the previous secret.

    Raises:
        TransientError: `unavailable`; it may be done again.
    """
    for user_id in await store.sealed_otherwise(sealer):
        entry = event_of(clock(), SHELL, SecurityEvent.RESEAL_SECOND_FACTOR, user_id)
        async for attempt in work.attempts():
            async with attempt as tx:
                if await tx.second_factors.reseal(user_id, sealer):
                    tx.audit(entry)


async def _mark(tx: UserTransaction, user_id: UUID, *, has_factor: bool, kept_session: UUID) -> None:
    """Keep with the user whether they have a factor, and end the access that was begun under the old rule."""
    # The version makes a sign-in that was judged by the old rule fail, as after a new password.
    await tx.users.renew_version(user_id, second_factor=has_factor, enrolment=None)
    await tx.access.end(user_id, kept_session=kept_session)
