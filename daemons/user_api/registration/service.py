"""Registering, and confirming the address; neither tells who is registered."""

from dataclasses import replace
from datetime import datetime

import structlog

from daemons.contracts.errors import ConflictError
from daemons.contracts.permissions import Role
from daemons.shared.audit.record import Origin, stranger
from daemons.shared.auth.callers import Caller
from daemons.shared.clock import Clock
from daemons.shared.ids import new_id
from daemons.user_api.attempts.service import AttemptCounter
from daemons.user_api.mail.codes import Purpose
from daemons.user_api.mail.message import Template
from daemons.user_api.mail.request import CODE_LIFETIME, MailRequest, invalid_code
from daemons.user_api.mail.service import CodeCheck, mail_holder, mail_request
from daemons.user_api.security_events import SecurityEvent, event_of
from daemons.user_api.unit_of_work import UserTransaction, UserWork
from daemons.user_api.users.addresses import claim_address
from daemons.user_api.users.argon2_hasher import Argon2Hasher
from daemons.user_api.users.email import normalise_email
from daemons.user_api.users.password import normalise_password
from daemons.user_api.users.service import Users
from daemons.user_api.users.storage import MongoUsers
from daemons.user_api.users.user import User, check_strangers_name

_log = structlog.get_logger()


class SignUp:
    """Registers strangers; neither the answer nor its time tells whether an address was free."""

    def __init__(
        self,
        work: UserWork,
        users: Users,
        store: MongoUsers,
        attempts: AttemptCounter,
        *,
        confirmation_required: bool,
        clock: Clock,
    ) -> None:
        self._work = work
        self._users = users
        self._store = store
        self._attempts = attempts
        self.confirmation_required = confirmation_required
        self._clock = clock

    async def sign_up(self, *, email: str, display_name: str, password: str, origin: Origin) -> User:
        """Register somebody under an address, to which a message goes in any case.

        If addresses are confirmed first, nobody has the address before that. Otherwise the user is there at
        once if the address is free. A confirmed user's address stays theirs: they are told that somebody
        tried, and the returned user exists nowhere. All of it takes the same work.

        Raises:
            InvalidRequestError: `invalid_request` for what is no address and for a name in which a user would
                pose as the bank, `weak_password`.
            TransientError: `rate_limited`, `overloaded` or `unavailable`.
        """
        async with self._attempts.counted_sign_up(origin):
            name = check_strangers_name(display_name)
            user = await self._users.prepare(
                email=email, display_name=name, password=password, role=Role.USER
            )
            # Either way reads once and writes as many documents.
            present = await self._store.find_by_email(user.email)
            if self.confirmation_required:
                await self._register(user, present, origin)
            elif present is not None or not await self._add(user, origin):
                # Somebody may have been quicker.
                await self._register(user, present or await self._store.find_by_email(user.email), origin)
            return user

    async def _add(self, user: User, origin: Origin) -> bool:
        """Add the user at once, unconfirmed."""
        entry = event_of(
            self._clock(), stranger(origin), SecurityEvent.REGISTER, user.id, after=user.audit_fields()
        )
        try:
            async for attempt in self._work.attempts():
                async with attempt as tx:
                    await tx.users.insert(user)
                    await mail_request(
                        tx, registration_of(user), Template.CONFIRM_REGISTRATION, name=user.display_name
                    )
                    tx.audit(entry)
        except ConflictError:
            return False
        _log.info("user registered", user_id=str(user.id), role=user.role.value)
        return True

    async def _register(self, user: User, present: User | None, origin: Origin) -> None:
        """Keep the registration until its address is confirmed; for a confirmed user's, tell them only."""
        taken = present if present is not None and present.email_confirmed else None
        entry = event_of(
            self._clock(),
            stranger(origin),
            SecurityEvent.REGISTER if present is None else SecurityEvent.REGISTER_REFUSED,
            (present or user).id,
            reason=None if present is None else "email_taken",
            after=(present or user).audit_fields(),
        )
        async for attempt in self._work.attempts():
            async with attempt as tx:
                if not self.confirmation_required:
                    await tx.users.refuse(user, present)
                if taken is None:
                    await mail_request(
                        tx, registration_of(user), Template.CONFIRM_REGISTRATION, name=user.display_name
                    )
                else:
                    await mail_holder(tx, registration_of(user), taken)
                tx.audit(entry)
        if present is None:
            _log.info("registration waits for its address", user_id=str(user.id))
        else:
            _log.warning("registration of a taken address")


class AddressConfirmation:
    """Makes an address count: it belongs to the person who proves that they read its mail."""

    def __init__(
        self,
        work: UserWork,
        store: MongoUsers,
        check: CodeCheck,
        attempts: AttemptCounter,
        hasher: Argon2Hasher,
        *,
        clock: Clock,
    ) -> None:
        self._work = work
        self._store = store
        self._check = check
        self._attempts = attempts
        self._hasher = hasher
        self._clock = clock

    async def confirm(self, *, email: str, code: str, password: str, origin: Origin) -> User:
        """Confirm the address of a registration; an unconfirmed user of the same address loses it.

        The password is that of the registration: somebody who confirms a code that they did not ask for must
        not let a stranger in.

        Raises:
            InvalidRequestError: `invalid_request`, it is not an address.
            UnauthenticatedError: `invalid_code`, also for a wrong password.
            TransientError: `rate_limited`, `overloaded` or `unavailable`.
        """
        address = normalise_email(email)
        async with self._attempts.counted_code(address, origin) as guess:
            request = await self._check.find(Purpose.REGISTRATION, address, code)
            present = None if request is None else await self._store.find_by_email(address)
            password_hash = None if request is None else request.data["password_hash"]
            if request is not None and present is not None and present.id == request.user_id:
                # They may have changed it since they registered.
                password_hash = present.password_hash
            right = await self._hasher.verify(normalise_password(password), password_hash)
            if request is None or not right:
                raise invalid_code()
            guess.user_id = request.user_id
        now = self._clock()
        user = _registered(request)
        actor = user.acting(origin)
        async for attempt in self._work.attempts():
            async with attempt as tx:
                if not await tx.requests.close(request):
                    raise invalid_code()
                await claim_address(tx, address, for_user=user.id, actor=actor, at=now)
                user = await self._confirmed(tx, request)
                # Who registered it besides loses it with this.
                for other in await tx.requests.find_open(Purpose.REGISTRATION, address, now):
                    await tx.requests.close(other)
                tx.audit(
                    event_of(now, actor, SecurityEvent.CONFIRM_ADDRESS, user.id, after=user.audit_fields())
                )
        _log.info("address confirmed", user_id=str(user.id))
        return user

    async def ask_again(self, user: User) -> None:
        """Mail a user who has an unconfirmed address the code that confirms it.

        Raises:
            TransientError: `unavailable`.
        """
        request = registration_of(replace(user, created_at=self._clock()))
        async for attempt in self._work.attempts(recorded=False):
            async with attempt as tx:
                await mail_request(tx, request, Template.CONFIRM_REGISTRATION, name=user.display_name)

    async def ask_for_own(self, caller: Caller) -> None:
        """Mail the caller the code that confirms their address; nothing if it is confirmed.

        Raises:
            TransientError: `unavailable`.
        """
        user = await self._store.find(caller.user_id)
        if user is not None and not user.email_confirmed:
            await self.ask_again(user)

    @staticmethod
    async def _confirmed(tx: UserTransaction, request: MailRequest) -> User:
        """Return the user, now with a confirmed address: added by this, or there since the registration."""
        registered = _registered(request)
        present = await tx.users.find_present(registered.id)
        if present is None:
            await tx.users.insert(registered)
            return registered
        if present.email != request.email:
            raise invalid_code()
        return await tx.users.save(replace(present, email_confirmed=True))


def registration_of(user: User) -> MailRequest:
    """Return the request that adds this user, or confirms their address if they are there already."""
    return MailRequest(
        id=new_id(),
        purpose=Purpose.REGISTRATION,
        email=user.email,
        user_id=user.id,
        data={"display_name": user.display_name, "password_hash": user.password_hash},
        created_at=user.created_at,
        expires_at=user.created_at + CODE_LIFETIME,
    )


def _registered(request: MailRequest) -> User:
    assert request.user_id is not None  # noqa: S101 - no code is a decoy's
    created_at: datetime = request.created_at
    return User(
        id=request.user_id,
        email=request.email,
        display_name=request.data["display_name"],
        role=Role.USER,
        locked=False,
        created_at=created_at,
        password_hash=request.data["password_hash"],
        email_confirmed=True,
    )
