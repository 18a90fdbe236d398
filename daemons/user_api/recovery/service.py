"""A new password for those who forgot theirs and read the mail of their address."""

from dataclasses import replace

import structlog

from daemons.contracts.errors import TransientError
from daemons.shared.audit.record import Origin, stranger
from daemons.shared.clock import Clock
from daemons.user_api.attempts.service import AttemptCounter
from daemons.user_api.mail.codes import Purpose
from daemons.user_api.mail.message import Template
from daemons.user_api.mail.notices import notify
from daemons.user_api.mail.request import CODE_LIFETIME, MailRequest, invalid_code
from daemons.user_api.mail.service import CodeCheck, mail_request
from daemons.user_api.second_factor.service import FactorProof
from daemons.user_api.security_events import SecurityEvent, event_of
from daemons.user_api.unit_of_work import UserWork
from daemons.user_api.users.argon2_hasher import Argon2Hasher
from daemons.user_api.users.email import normalise_email
from daemons.user_api.users.passwords import hash_new_password
from daemons.user_api.users.storage import MongoUsers

_log = structlog.get_logger()


class PasswordReset:
    """Mails codes for a new password, to known and unknown addresses alike, and sets the password."""

    def __init__(
        self,
        work: UserWork,
        users: MongoUsers,
        check: CodeCheck,
        *,
        hasher: Argon2Hasher,
        attempts: AttemptCounter,
        proof: FactorProof,
        clock: Clock,
    ) -> None:
        self._work = work
        self._users = users
        self._check = check
        self._hasher = hasher
        self._attempts = attempts
        self._proof = proof
        self._clock = clock

    async def ask(self, *, email: str, origin: Origin) -> None:
        """Mail a code to the address if it is a user's; the work is the same if it is nobody's.

        Raises:
            InvalidRequestError: `invalid_request`, it is not an address.
            TransientError: `rate_limited` or `unavailable`.
        """
        address = normalise_email(email)
        async with self._attempts.counted_mail(origin):
            user = await self._users.find_by_email(address)
            now = self._clock()
            request = MailRequest(
                purpose=Purpose.PASSWORD_RESET,
                email=address,
                user_id=None if user is None else user.id,
                created_at=now,
                expires_at=now + CODE_LIFETIME,
            )
            entry = event_of(
                now,
                stranger(origin),
                SecurityEvent.ASK_PASSWORD_RESET,
                ("unknown account", self._attempts.pseudonym(address)) if user is None else user.id,
            )
            name = "" if user is None else user.display_name
            async for attempt in self._work.attempts():
                async with attempt as tx:
                    await mail_request(tx, request, Template.RESET_PASSWORD, name=name)
                    tx.audit(entry)
        _log.info("password reset asked for", user_id=str(user.id) if user else None, address=origin.address)

    async def reset(
        self, *, email: str, code: str, new_password: str, totp: str | None, origin: Origin
    ) -> None:
        """Set a new password; all sessions and API keys end, no device is known any longer.

        A second factor is asked for besides. The address counts as confirmed from then on.

        Raises:
            InvalidRequestError: `invalid_request`, `weak_password`.
            UnauthenticatedError: `invalid_code`; with the right code `totp_required`, `invalid_totp`.
            TransientError: `rate_limited`, `overloaded` or `unavailable`, or the user was changed just now.
        """
        address = normalise_email(email)
        async with self._attempts.counted_code(address, origin) as guess:
            user = await self._users.find_by_email(address)
            request = await self._check.find(Purpose.PASSWORD_RESET, address, code)
            if user is None or request is None or request.user_id != user.id:
                raise invalid_code()
            guess.user_id = user.id
            new_hash = await hash_new_password(
                self._hasher,
                new_password,
                field="new_password",
                email=user.email,
                display_name=user.display_name,
            )
            proof = await self._proof.prove(user, totp, origin=origin) if user.second_factor else None
        now, actor = self._clock(), user.acting(origin)
        async for attempt in self._work.attempts():
            async with attempt as tx:
                present = await tx.users.get(user.id)
                if present.version != user.version:
                    raise TransientError(
                        "unavailable", "The user was just changed; try again.", retry_after_seconds=1
                    )
                if not await tx.requests.close(request):
                    raise invalid_code()
                changed = replace(
                    present, password_hash=new_hash, email_confirmed=True, password_is_temporary=False
                )
                await tx.users.save(changed)
                ended = await tx.access.end(user.id)
                await tx.devices.forget_all(user.id)
                await notify(tx, changed, Template.PASSWORD_CHANGED, now, address=origin.address)
                tx.audit(
                    event_of(
                        now,
                        actor,
                        SecurityEvent.RESET_PASSWORD,
                        user.id,
                        before={"ended_sessions": ended.sessions, "ended_api_keys": ended.api_keys},
                        after={"second_factor": None if proof is None else proof.value},
                    )
                )
        _log.warning("password reset", user_id=str(user.id), ended_sessions=ended.sessions)
