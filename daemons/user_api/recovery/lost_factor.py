"""A second factor that is lost, recovery codes and all: removed after a wait, unless its owner objects."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from daemons.contracts.errors import ForbiddenError, TransientError
from daemons.shared.audit.record import Origin
from daemons.shared.clock import Clock
from daemons.user_api.attempts.service import AttemptCounter
from daemons.user_api.mail.codes import Purpose
from daemons.user_api.mail.message import Template
from daemons.user_api.mail.notices import notify
from daemons.user_api.mail.request import MailRequest, invalid_code
from daemons.user_api.mail.service import CodeCheck
from daemons.user_api.second_factor.factor import totp_not_active
from daemons.user_api.security_events import SecurityEvent, event_of
from daemons.user_api.unit_of_work import UserTransaction, UserWork
from daemons.user_api.users.argon2_hasher import Argon2Hasher
from daemons.user_api.users.email import normalise_email
from daemons.user_api.users.password import normalise_password
from daemons.user_api.users.passwords import invalid_credentials
from daemons.user_api.users.storage import MongoUsers
from daemons.user_api.users.user import User

_CARRIED_OUT_WITHIN = timedelta(days=7)
"""How long after the wait the removal can be carried out; after that it must begin again."""
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Removal:
    """When the second factor can be removed, and whether it has been."""

    removable_at: datetime
    removed: bool


class LostFactor:
    """Removes a lost second factor after a wait. Of staff only two administrators do."""

    def __init__(
        self,
        work: UserWork,
        store: MongoUsers,
        check: CodeCheck,
        *,
        hasher: Argon2Hasher,
        attempts: AttemptCounter,
        wait: timedelta,
        clock: Clock,
    ) -> None:
        self._work = work
        self._store = store
        self._check = check
        self._hasher = hasher
        self._attempts = attempts
        self._wait = wait
        self._clock = clock

    async def remove(self, *, email: str, password: str, origin: Origin) -> Removal:
        """Begin the wait, and remove the second factor once it is over; asked again in between, tell when.

        The owner is mailed a code that stops it, and a sign-in with the second factor stops it as well.

        Raises:
            InvalidRequestError: `invalid_request`, it is not an address.
            UnauthenticatedError: `invalid_credentials`.
            ForbiddenError: `user_locked`, or `staff_second_factor` for one of the staff.
            ConflictError: `totp_not_active`.
            TransientError: `rate_limited`, `overloaded` or `unavailable`, or the user was changed just now.
        """
        address = normalise_email(email)
        async with self._attempts.counted(address, origin, SecurityEvent.SIGN_IN_REFUSED) as guess:
            user = await self._store.find_by_email(address)
            guess.user_id = user.id if user else None
            password_hash = user.password_hash if user else None
            if not await self._hasher.verify(normalise_password(password), password_hash) or user is None:
                raise invalid_credentials()
            if user.locked:
                raise ForbiddenError("user_locked", "This user is locked; ask an administrator.")
            if not user.second_factor:
                raise totp_not_active()
            if user.is_staff:
                raise ForbiddenError(
                    "staff_second_factor", "Two administrators can reset the second factor of staff."
                )
        now = self._clock()
        async for attempt in self._work.attempts():
            async with attempt as tx:
                # Two at once conflict at the user, and so does a change of the password.
                if not await tx.users.hold(user, factor_lost_at=now):
                    raise TransientError(
                        "unavailable", "The user was just changed; try again.", retry_after_seconds=1
                    )
                found = await tx.requests.find_open_of(user.id, Purpose.KEEP_SECOND_FACTOR, now)
                if not found:
                    removal = await self._begin(tx, user, now, origin)
                else:
                    removal = Removal(found[0].data["removable_at"], removed=False)
                    if removal.removable_at <= now:
                        await self._carry_out(tx, user, now, origin)
                        removal = replace(removal, removed=True)
        _log.warning("second factor reported lost", user_id=str(user.id), removed=removal.removed)
        return removal

    async def keep(self, *, email: str, code: str, origin: Origin) -> None:
        """Stop the removal by the code that its owner was mailed.

        Raises:
            InvalidRequestError: `invalid_request`, it is not an address.
            UnauthenticatedError: `invalid_code`.
            TransientError: `rate_limited` or `unavailable`.
        """
        address = normalise_email(email)
        async with self._attempts.counted_code(address, origin) as guess:
            _, user = await self._check.find_with_owner(
                Purpose.KEEP_SECOND_FACTOR, address, code, self._store.find
            )
            guess.user_id = user.id
        entry = event_of(self._clock(), user.acting(origin), SecurityEvent.KEEP_SECOND_FACTOR, user.id)
        async for attempt in self._work.attempts():
            async with attempt as tx:
                if not await tx.requests.close_all(user.id, Purpose.KEEP_SECOND_FACTOR):
                    raise invalid_code()
                tx.audit(entry)

    async def _begin(self, tx: UserTransaction, user: User, now: datetime, origin: Origin) -> Removal:
        removable_at = now + self._wait
        request = MailRequest(
            purpose=Purpose.KEEP_SECOND_FACTOR,
            email=user.email,
            user_id=user.id,
            data={"removable_at": removable_at},
            created_at=now,
            expires_at=removable_at + _CARRIED_OUT_WITHIN,
        )
        await tx.requests.open(request)
        await notify(
            tx,
            user,
            Template.SECOND_FACTOR_LOST,
            now,
            request=request,
            until=f"{removable_at:%Y-%m-%d %H:%M} UTC",
            address=origin.address,
        )
        tx.audit(event_of(now, user.acting(origin), SecurityEvent.LOSE_SECOND_FACTOR, user.id))
        return Removal(removable_at, removed=False)

    @staticmethod
    async def _carry_out(tx: UserTransaction, user: User, now: datetime, origin: Origin) -> None:
        await tx.requests.close_all(user.id, Purpose.KEEP_SECOND_FACTOR)
        await tx.second_factors.remove(user.id)
        await tx.users.save(replace(await tx.users.get(user.id), second_factor=False))
        await tx.access.end(user.id)
        await notify(tx, user, Template.SECOND_FACTOR_REMOVED, now, address=origin.address)
        tx.audit(
            event_of(
                now,
                user.acting(origin),
                SecurityEvent.REMOVE_SECOND_FACTOR,
                user.id,
                reason="lost",
                before={"second_factor": True},
                after={"second_factor": False},
            )
        )
