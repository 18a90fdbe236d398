"""Changing one's own address and name, and undoing that from the address before."""

import secrets
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from daemons.contracts.errors import ConflictError
from daemons.shared.audit.record import Origin
from daemons.shared.auth.callers import Caller
from daemons.shared.clock import Clock
from daemons.user_api.attempts.service import AttemptCounter
from daemons.user_api.mail.codes import Purpose
from daemons.user_api.mail.message import Template
from daemons.user_api.mail.notices import notify
from daemons.user_api.mail.request import CODE_LIFETIME, MailRequest, invalid_code
from daemons.user_api.mail.service import CodeCheck, mail_holder, mail_request
from daemons.user_api.second_factor.service import FactorProof
from daemons.user_api.security_events import SecurityEvent, acting, event_of
from daemons.user_api.unit_of_work import UserTransaction, UserWork
from daemons.user_api.users.addresses import claim_address
from daemons.user_api.users.argon2_hasher import Argon2Hasher
from daemons.user_api.users.email import normalise_email
from daemons.user_api.users.passwords import PasswordConfirmation
from daemons.user_api.users.storage import MongoUsers
from daemons.user_api.users.user import User, check_strangers_name, user_not_found

UNDONE_WITHIN = timedelta(hours=72)
_UNKNOWN_PASSWORD_BYTES = 32
_log = structlog.get_logger()


class PersonalDetails:
    """What users do with their own address and name."""

    def __init__(
        self,
        work: UserWork,
        store: MongoUsers,
        check: CodeCheck,
        *,
        hasher: Argon2Hasher,
        attempts: AttemptCounter,
        passwords: PasswordConfirmation,
        proof: FactorProof,
        clock: Clock,
    ) -> None:
        self._work = work
        self._store = store
        self._check = check
        self._hasher = hasher
        self._attempts = attempts
        self._passwords = passwords
        self._proof = proof
        self._clock = clock

    async def ask_for_address(
        self, caller: Caller, *, new_email: str, password: str, totp: str | None, origin: Origin
    ) -> None:
        """Mail a code to the new address. If a confirmed user has it, they are told instead.

        Raises:
            InvalidRequestError: `invalid_request`, it is not an address.
            ConflictError: `email_unchanged`.
            UnauthenticatedError: `invalid_credentials`; `totp_required`, `invalid_totp`.
            TransientError: `rate_limited`, `overloaded` or `unavailable`.
        """
        user, address = await self._find(caller), normalise_email(new_email)
        if address == user.email:
            raise ConflictError("email_unchanged", "This is your address already.")
        await self._passwords.confirm(user, password, origin=origin)
        if user.second_factor:
            await self._proof.confirm(user, totp, origin=origin)
        async with self._attempts.counted_mail(origin):
            holder, now = await self._store.find_by_email(address), self._clock()
            request = MailRequest(
                purpose=Purpose.NEW_ADDRESS,
                email=address,
                user_id=user.id,
                created_at=now,
                expires_at=now + CODE_LIFETIME,
            )
            entry = event_of(now, acting(caller, origin), SecurityEvent.ASK_NEW_ADDRESS, user.id)
            async for attempt in self._work.attempts():
                async with attempt as tx:
                    if holder is not None and holder.email_confirmed:
                        await mail_holder(tx, request, holder)
                    else:
                        await mail_request(tx, request, Template.CONFIRM_NEW_ADDRESS, name=user.display_name)
                    tx.audit(entry)

    async def change_address(self, caller: Caller, *, code: str, origin: Origin) -> User:
        """Change the caller's address; the old one, if it was confirmed, can undo it for three days.

        Raises:
            UnauthenticatedError: `invalid_code`.
            ConflictError: `email_taken`, somebody else confirmed the address meanwhile.
            TransientError: `rate_limited` or `unavailable`.
        """
        user = await self._find(caller)
        async with self._attempts.counted_code(user.email, origin) as guess:
            guess.user_id = user.id
            request = await self._check.find_of(user.id, Purpose.NEW_ADDRESS, code)
            if request is None:
                raise invalid_code()
        now, actor = self._clock(), acting(caller, origin)
        async for attempt in self._work.attempts():
            async with attempt as tx:
                if not await tx.requests.close(request):
                    raise invalid_code()
                tx.audit(event_of(now, actor, SecurityEvent.CHANGE_ADDRESS, user.id))
                await claim_address(tx, request.email, for_user=user.id, actor=actor, at=now)
                before = await tx.users.get(user.id)
                after = await tx.users.save(replace(before, email=request.email, email_confirmed=True))
                undone_by = {"email": before.email}
                values = {"new_email": after.email, "address": origin.address}
                await _notify_before(tx, before, Template.ADDRESS_CHANGED, now, undone_by, **values)
        _log.warning("address changed", user_id=str(user.id))
        return after

    async def change_name(self, caller: Caller, *, display_name: str, password: str, origin: Origin) -> User:
        """Change the caller's name; a confirmed address can undo it for three days.

        Raises:
            InvalidRequestError: `invalid_request`, the user would pose as the bank.
            UnauthenticatedError: `invalid_credentials`.
            TransientError: `rate_limited`, `overloaded` or `unavailable`.
        """
        name = check_strangers_name(display_name)
        user = await self._find(caller)
        await self._passwords.confirm(user, password, origin=origin)
        now, actor = self._clock(), acting(caller, origin)
        async for attempt in self._work.attempts():
            async with attempt as tx:
                before = await tx.users.get(user.id)
                after = await tx.users.save(replace(before, display_name=name))
                # The other daemons name the caller in what they record.
                await tx.access.changed(user.id)
                undone_by = {"display_name": before.display_name}
                values = {"new_name": name, "address": origin.address}
                await _notify_before(tx, before, Template.NAME_CHANGED, now, undone_by, **values)
                tx.audit(
                    event_of(
                        now,
                        actor,
                        SecurityEvent.CHANGE_NAME,
                        user.id,
                        before={"display_name": before.display_name},
                        after={"display_name": name},
                    )
                )
        return after

    async def undo(self, *, email: str, code: str, origin: Origin) -> None:
        """Undo a change. Somebody else had the password, so nobody has one after this: it is to be reset.

        Every session, API key, known device and other open request of the user ends.

        Raises:
            InvalidRequestError: `invalid_request`, it is not an address.
            UnauthenticatedError: `invalid_code`.
            ConflictError: `email_taken`, another user has confirmed the address since.
            TransientError: `rate_limited`, `overloaded` or `unavailable`.
        """
        address = normalise_email(email)
        async with self._attempts.counted_code(address, origin) as guess:
            request, user = await self._check.find_with_owner(Purpose.UNDO, address, code, self._store.find)
            guess.user_id = user.id
        unknown = await self._hasher.hash(secrets.token_urlsafe(_UNKNOWN_PASSWORD_BYTES))
        now, actor = self._clock(), user.acting(origin)
        async for attempt in self._work.attempts():
            async with attempt as tx:
                if not await tx.requests.close(request):
                    raise invalid_code()
                tx.audit(
                    event_of(now, actor, SecurityEvent.UNDO_CHANGE, user.id, reason=", ".join(request.data))
                )
                # Whichever change it is, the address may have been changed after it.
                await claim_address(tx, address, for_user=user.id, actor=actor, at=now)
                present = await tx.users.get(user.id)
                restored = replace(
                    present,
                    email=address,
                    email_confirmed=True,
                    display_name=request.data.get("display_name", present.display_name),
                    password_hash=unknown,
                )
                await tx.users.save(restored)
                ended = await tx.access.end(user.id)
                await tx.devices.forget_all(user.id)
                for purpose in Purpose:
                    await tx.requests.close_all(user.id, purpose)
                await notify(tx, restored, Template.CHANGE_UNDONE, now, address=origin.address)
        _log.warning("change undone", user_id=str(user.id), ended_sessions=ended.sessions)

    async def _find(self, caller: Caller) -> User:
        user = await self._store.find(caller.user_id)
        if user is None:
            raise user_not_found()
        return user


async def _notify_before(
    tx: UserTransaction,
    before: User,
    template: Template,
    now: datetime,
    undone_by: dict[str, str],
    **values: str,
) -> None:
    """Tell the user as they were of a change, with a code that undoes it.

    There is none for an address of which nobody has shown that it is theirs.
    """
    undo: MailRequest | None = None
    if before.email_confirmed:
        undo = MailRequest(
            purpose=Purpose.UNDO,
            email=before.email,
            user_id=before.id,
            data=undone_by,
            created_at=now,
            expires_at=now + UNDONE_WITHIN,
        )
        await tx.requests.open(undo)
    await notify(tx, before, template, now, request=undo, **values)
