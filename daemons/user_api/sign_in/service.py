"""Signing in: from a password to a session and its tokens."""

import secrets
from dataclasses import replace
from uuid import UUID

import structlog

from daemons.contracts.errors import (
    ForbiddenError,
    InvalidRequestError,
    TransientError,
)
from daemons.shared.audit.record import Origin
from daemons.shared.ids import new_id
from daemons.shared.mongo import Session as DatabaseSession
from daemons.user_api.attempts.service import counted_attempt
from daemons.user_api.audit_entries import SecurityEvent, event_of, person, session_state
from daemons.user_api.parts import Parts
from daemons.user_api.second_factor.prove import Proof, prove_second_factor
from daemons.user_api.sessions.refresh_token import RefreshToken, digest_of
from daemons.user_api.sessions.session import Session
from daemons.user_api.sessions.tokens import SignIn, issue_tokens
from daemons.user_api.users.confirm_password import invalid_credentials
from daemons.user_api.users.email import normalise_email
from daemons.user_api.users.password import normalise_password
from daemons.user_api.users.user import User

_log = structlog.get_logger()
_TOKEN_BYTES = 32


async def sign_in(
    parts: Parts,
    *,
    email: str,
    password: str,
    totp: str | None = None,
    origin: Origin,
    device: str,
    device_token: str | None = None,
) -> SignIn:
    """Begin a new session after checking the password.

    A device that this user has signed in from before, told by its token, has a back-off of its own: others'
    guesses at the account, or from the same address, do not hold it back (docs/adr/0005).

    An unknown address and a wrong password cost the same work and end in the same error; that a user is
    locked is told only to those who know the password.

    Raises:
        UnauthenticatedError: `invalid_credentials`; with the right password `totp_required`, `invalid_totp`.
        ForbiddenError: `user_locked`.
        TransientError: `rate_limited`, `overloaded`, `unavailable`, or the user was changed just now.
    """
    account = _account_of(email)
    refusal = SecurityEvent.SIGN_IN_REFUSED
    proof: Proof | None = None
    known = await _known_device(parts, account, device_token)
    async with counted_attempt(
        parts, account=account, origin=origin, refusal=refusal, forgets=True, device=known
    ) as guess:
        guess.user = user = await parts.users.find_by_email(account)
        if not await parts.hasher.verify(normalise_password(password), user.password_hash if user else None):
            _refused("invalid_credentials", user, origin.address)
            raise invalid_credentials()
        if user is None or user.locked:
            _refused("user_locked", user, origin.address)
            raise ForbiddenError("user_locked", "This user is locked; ask an administrator.")
        if user.second_factor:
            proof = await prove_second_factor(parts, user, totp, origin=origin)
    session = _new_session(parts, user.id, address=origin.address, device=device)
    refresh_token = secrets.token_urlsafe(_TOKEN_BYTES)
    first = RefreshToken(
        digest=digest_of(refresh_token), session_id=session.id, expires_at=session.expires_at
    )
    entry = event_of(
        parts,
        person(user, origin),
        SecurityEvent.SIGN_IN,
        user.id,
        after={
            **session_state(session),
            "second_factor": None if proof is None else proof.value,
            "known_device": known is not None,
            "failures_before": guess.account.failures - 1,
            "held_back_before": guess.account.held_back,
        },
    )
    if device_token is None or known is None:
        device_token = secrets.token_urlsafe(_TOKEN_BYTES)
    device_digest = digest_of(device_token)

    async def alongside(transaction: DatabaseSession) -> None:
        await parts.devices.remember(device_digest, user.id, session.created_at, session=transaction)
        await parts.audit.append([entry], session=transaction)

    async with parts.audit.turn():
        begun = await parts.sessions.begin(session, user=user, refresh_token=first, alongside=alongside)
    if not begun:
        raise TransientError("unavailable", "The user was just changed; try again.", retry_after_seconds=1)
    _log.info("signed in", user_id=str(user.id), session=str(session.handle), address=origin.address)
    return replace(issue_tokens(parts, user, session, refresh_token=refresh_token), device_token=device_token)


async def _known_device(parts: Parts, account: str, token: str | None) -> bytes | None:
    """Return the digest of the token if the account's user has signed in from that device."""
    if token is None:
        return None
    user, digest = await parts.users.find_by_email(account), digest_of(token)
    if user is None or not await parts.devices.is_of(digest, user.id, parts.clock()):
        return None
    return digest


def _account_of(email: str) -> str:
    try:
        return normalise_email(email)
    except InvalidRequestError:
        # A malformed address is looked up, counted and answered like any unknown one.
        return email


def _new_session(parts: Parts, user_id: UUID, *, address: str, device: str) -> Session:
    now = parts.clock()
    return Session(
        id=new_id(),
        user_id=user_id,
        created_at=now,
        last_seen_at=now,
        expires_at=now + parts.limits.lifetime,
        address=address,
        device=device,
    )


def _refused(reason: str, user: User | None, address: str) -> None:
    # The address that was typed stays out: people type passwords into that field.
    _log.warning("sign-in refused", reason=reason, user_id=str(user.id) if user else None, address=address)
