"""Signing in: from a password to a session and its tokens; and changing the password."""

import secrets
from dataclasses import replace
from uuid import UUID

import structlog

from daemons.contracts.errors import FieldError, ForbiddenError, InvalidRequestError, TransientError
from daemons.shared.audit.record import Origin
from daemons.shared.auth.callers import Caller
from daemons.shared.clock import Clock
from daemons.shared.ids import new_id
from daemons.user_api.attempts.service import AttemptCounter
from daemons.user_api.mail.codes import Purpose
from daemons.user_api.mail.message import Template
from daemons.user_api.mail.notices import notify
from daemons.user_api.registration.service import AddressConfirmation
from daemons.user_api.second_factor.service import FactorProof, Proof
from daemons.user_api.security_events import SecurityEvent, acting, event_of
from daemons.user_api.sessions.refresh_token import RefreshToken, digest_of
from daemons.user_api.sessions.service import SessionTokens, TokenIssuer
from daemons.user_api.sessions.session import Session, SessionLimits
from daemons.user_api.sign_in.storage import MongoDevices
from daemons.user_api.unit_of_work import UserWork
from daemons.user_api.users.argon2_hasher import Argon2Hasher
from daemons.user_api.users.email import normalise_email
from daemons.user_api.users.password import normalise_password
from daemons.user_api.users.passwords import PasswordConfirmation, hash_new_password, invalid_credentials
from daemons.user_api.users.service import Users
from daemons.user_api.users.storage import MongoUsers
from daemons.user_api.users.user import User

_log = structlog.get_logger()
_TOKEN_BYTES = 32


class SignIn:
    """Begins sessions."""

    def __init__(
        self,
        work: UserWork,
        users: MongoUsers,
        devices: MongoDevices,
        *,
        hasher: Argon2Hasher,
        attempts: AttemptCounter,
        proof: FactorProof,
        issuer: TokenIssuer,
        limits: SessionLimits,
        confirmation: AddressConfirmation,
        confirmation_required: bool,
        clock: Clock,
    ) -> None:
        self._work = work
        self._confirmation = confirmation
        self._confirmation_required = confirmation_required
        self._users = users
        self._devices = devices
        self._hasher = hasher
        self._attempts = attempts
        self._proof = proof
        self._issuer = issuer
        self._limits = limits
        self._clock = clock

    async def sign_in(
        self,
        *,
        email: str,
        password: str,
        totp: str | None = None,
        origin: Origin,
        device: str,
        device_token: str | None = None,
    ) -> SessionTokens:
        """Begin a new session after checking the password.

        A device that this user has signed in from before, known by its token, has a back-off of its own:
        others' guesses at the account, or from the same address, do not hold it back (docs/adr/0005).

        An unknown address and a wrong password cost the same work and end in the same error; that a user is
        locked is shown only to those who know the password.

        Raises:
            UnauthenticatedError: `invalid_credentials`; with the right password `totp_required`,
                `invalid_totp`.
            ForbiddenError: `user_locked`, `email_unconfirmed`.
            TransientError: `rate_limited`, `overloaded`, `unavailable`, or the user was changed just now.
        """
        account = _account_of(email)
        proof: Proof | None = None
        known = await self._known_device(account, device_token)
        async with self._attempts.counted(
            account, origin, SecurityEvent.SIGN_IN_REFUSED, forgets=True, device=known
        ) as guess:
            user = await self._users.find_by_email(account)
            guess.user_id = user.id if user else None
            # Nobody knows the password of a user who was erased.
            password_hash = (user.password_hash or None) if user else None
            if not await self._hasher.verify(normalise_password(password), password_hash):
                _refused("invalid_credentials", user, origin.address)
                raise invalid_credentials()
            if user is None or user.locked:
                _refused("user_locked", user, origin.address)
                raise ForbiddenError("user_locked", "This user is locked; ask an administrator.")
            if self._confirmation_required and not user.email_confirmed:
                await self._confirmation.ask_again(user)
                raise ForbiddenError(
                    "email_unconfirmed", "Confirm your address first; the code was mailed to it."
                )
            if user.second_factor:
                proof = await self._proof.prove(user, totp, origin=origin)
        session = self._new_session(user.id, address=origin.address, device=device)
        refresh_token = secrets.token_urlsafe(_TOKEN_BYTES)
        first = RefreshToken(
            digest=digest_of(refresh_token), session_id=session.id, expires_at=session.expires_at
        )
        entry = event_of(
            self._clock(),
            user.acting(origin),
            SecurityEvent.SIGN_IN,
            user.id,
            after={
                **session.audit_fields(),
                "second_factor": None if proof is None else proof.value,
                "known_device": known is not None,
                "failures_before": guess.account.failures - 1,
                "held_back_before": guess.account.held_back,
            },
        )
        if device_token is None or known is None:
            device_token = secrets.token_urlsafe(_TOKEN_BYTES)
        async for attempt in self._work.attempts():
            async with attempt as tx:
                if not await tx.users.hold(user, signed_in_at=session.created_at):
                    raise TransientError(
                        "unavailable", "The user was just changed; try again.", retry_after_seconds=1
                    )
                await tx.sessions.insert(session, first)
                await tx.devices.remember(digest_of(device_token), user.id, session.created_at)
                if proof is not None:
                    # It is not lost: it was just used.
                    await tx.requests.close_all(user.id, Purpose.KEEP_SECOND_FACTOR)
                if known is None and user.signed_in_at is not None:
                    await notify(
                        tx,
                        user,
                        Template.NEW_DEVICE,
                        session.created_at,
                        device=session.device,
                        address=session.address,
                    )
                tx.audit(entry)
        _log.info("signed in", user_id=str(user.id), session=str(session.handle), address=origin.address)
        tokens = self._issuer.issue(user, session, refresh_token=refresh_token)
        return replace(tokens, device_token=device_token)

    async def _known_device(self, account: str, token: str | None) -> bytes | None:
        """Return the digest of the token if the account's user has signed in from that device."""
        if token is None:
            return None
        user, digest = await self._users.find_by_email(account), digest_of(token)
        if user is None or not await self._devices.is_of(digest, user.id, self._clock()):
            return None
        return digest

    def _new_session(self, user_id: UUID, *, address: str, device: str) -> Session:
        now = self._clock()
        return Session(
            id=new_id(),
            user_id=user_id,
            created_at=now,
            last_seen_at=now,
            expires_at=now + self._limits.lifetime,
            address=address,
            device=device,
        )


class PasswordChange:
    """Puts a new password in place of the current one."""

    def __init__(
        self,
        work: UserWork,
        users: Users,
        hasher: Argon2Hasher,
        passwords: PasswordConfirmation,
        *,
        clock: Clock,
    ) -> None:
        self._work = work
        self._users = users
        self._hasher = hasher
        self._passwords = passwords
        self._clock = clock

    async def change(
        self, caller: Caller, *, current: str, new: str, end_other_sessions: bool, origin: Origin
    ) -> None:
        """Change the caller's password; API keys end, the session that asks goes on, others end if so wished.

        Raises:
            UnauthenticatedError: `invalid_credentials`, the current password is wrong.
            InvalidRequestError: `weak_password`.
            TransientError: `rate_limited`, `overloaded` or `unavailable`.
        """
        user = await self._users.find(caller.user_id)
        await self._passwords.confirm(user, current, origin=origin)
        if user.password_is_temporary and normalise_password(new) == normalise_password(current):
            fault = FieldError("new_password", "must be another one than the one you were given")
            raise InvalidRequestError("weak_password", f"The new password {fault.message}.", errors=[fault])
        new_hash = await hash_new_password(
            self._hasher, new, field="new_password", email=user.email, display_name=user.display_name
        )
        entry = event_of(
            self._clock(),
            acting(caller, origin),
            SecurityEvent.CHANGE_PASSWORD,
            user.id,
            after={"ends_other_sessions": end_other_sessions},
        )
        async for attempt in self._work.attempts():
            async with attempt as tx:
                present = await tx.users.get(user.id)
                # The verified password is no longer the current one: somebody else changed it meanwhile.
                if present.password_hash != user.password_hash:
                    raise invalid_credentials()
                await tx.users.save(replace(present, password_hash=new_hash, password_is_temporary=False))
                ended = await tx.access.end(
                    user.id, kept_session=caller.session_id, keep_sessions=not end_other_sessions
                )
                # Somebody who knew the old password may have signed in with it.
                await tx.devices.forget_all(user.id)
                await notify(tx, present, Template.PASSWORD_CHANGED, entry.at, address=origin.address)
                tx.audit(entry)
        _log.info("password changed", user_id=str(user.id), ended_sessions=ended.sessions)


def _account_of(email: str) -> str:
    try:
        return normalise_email(email)
    except InvalidRequestError:
        # A malformed address is looked up, counted and answered like any unknown one.
        return email


def _refused(reason: str, user: User | None, address: str) -> None:
    # The address that was typed stays out: people type passwords into that field.
    _log.warning("sign-in refused", reason=reason, user_id=str(user.id) if user else None, address=address)
