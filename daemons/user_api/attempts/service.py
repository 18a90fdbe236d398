"""Making guesses slow: each attempt is counted for its account and for the network address it comes from."""

import hmac
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from daemons.contracts.errors import BankError, TransientError
from daemons.shared.audit.record import Origin, stranger
from daemons.shared.mongo import run_transaction
from daemons.shared.networks import network_of
from daemons.user_api.attempts.backoff import BackOff
from daemons.user_api.attempts.storage import Attempt
from daemons.user_api.audit_entries import SecurityEvent, event_of, person
from daemons.user_api.parts import Parts
from daemons.user_api.users.user import User

_log = structlog.get_logger()
_FAILED_GUESSES = frozenset({"invalid_credentials", "invalid_totp"})
_LOCKED = "user_locked"
_PSEUDONYM_LENGTH = 16
_TOO_MANY_FAILURES = "Too many attempts have failed; wait a little."
_TOO_MANY_SIGN_UPS = "Too many people have registered from this address; wait a little."


@dataclass(slots=True)
class Guess:
    """A counted attempt that may go on; the check that follows says whose account it is."""

    account: Attempt
    network: Attempt
    user: User | None

    @property
    def name(self) -> str:
        """What was typed as the account, as the log and the audit keep it: a keyed digest."""
        return _pseudonym(self.account.key)


@asynccontextmanager
async def counted_attempt(
    parts: Parts,
    *,
    account: str,
    origin: Origin,
    refusal: SecurityEvent,
    user: User | None = None,
    forgets: bool = False,
    device: bytes | None = None,
) -> AsyncIterator[Guess]:
    """Check an attempt inside; a failed guess stays counted, and is recorded in the audit trail if necessary.

    Args:
        parts: The parts of the daemon.
        account: What was given as the user's address; unknown ones are counted alike.
        origin: Where the attempt comes from.
        refusal: What a failed guess is in the audit.
        user: Whose account it is, if that is known by their session.
        forgets: A success clears the account's failures. Only for all factors at once: somebody who knows one
            could otherwise guess the other without end.
        device: The known device that it comes from, which is then counted in place of account and address.

    Raises:
        TransientError: `rate_limited`, the attempt was not let in.
    """
    limits = parts.sign_in_limits
    if device is None:
        place, name = network_of(origin.address), account
    else:
        place = name = f"device {device.hex()}"
    by_address = await _admit(parts, "address", place, limits.address)
    try:
        by_account = await _admit(parts, "account", name, limits.account)
    except BankError:
        await parts.attempts.take_back(by_address)
        raise
    guess = Guess(by_account, by_address, user)
    try:
        yield guess
    except BankError as error:
        if error.code in _FAILED_GUESSES or error.code == _LOCKED:
            await _tell_refusal(parts, guess, refusal, error.code, origin=origin, in_session=user is not None)
        # Whoever hangs up early stays counted: only an answer of ours tells that it was no guess.
        if error.code not in _FAILED_GUESSES:
            for attempt in (by_address, by_account):
                await parts.attempts.take_back(attempt)
        raise
    await parts.attempts.take_back(by_address)
    if forgets:
        await parts.attempts.forget(by_account.key)
    else:
        await parts.attempts.take_back(by_account)


@asynccontextmanager
async def counted_sign_up(parts: Parts, origin: Origin) -> AsyncIterator[None]:
    """Let an address register somebody, or hold it back; what is refused for its content is not counted.

    It makes no difference whether the address was free; the answer does not reveal it.

    Raises:
        TransientError: `rate_limited`, too many have registered from there.
    """
    by_address = await _admit(
        parts, "sign-up", network_of(origin.address), parts.sign_in_limits.sign_ups, _TOO_MANY_SIGN_UPS
    )
    try:
        yield
    except BankError:
        await parts.attempts.take_back(by_address)
        raise


async def _admit(
    parts: Parts, kind: str, name: str, back_off: BackOff, refusal: str = _TOO_MANY_FAILURES
) -> Attempt:
    # People type passwords into the wrong field: what is kept must not be guessable from a copy.
    key = hmac.digest(parts.attempts_key, f"{kind}:{name}".encode(), "sha256")
    now = parts.clock()
    admitted = await parts.attempts.admit(key, back_off, now)
    if isinstance(admitted, datetime):
        _log.warning("attempt held back", by=kind, key=_pseudonym(key))
        wait_seconds = math.ceil((admitted - now).total_seconds())
        raise TransientError("rate_limited", refusal, retry_after_seconds=wait_seconds)
    return admitted


async def _tell_refusal(
    parts: Parts, guess: Guess, refusal: SecurityEvent, code: str, *, origin: Origin, in_session: bool
) -> None:
    """Record a refusal if it is an account's first, if a pause begins with it, or if the user is locked.

    Those between are in the count of the next one, and floods from everywhere are bounded besides: whoever
    guesses must not make the trail grow at will (docs/adr/0012). Unknown accounts are told of alike.
    """
    limits = parts.sign_in_limits
    account, network = _counts(guess.account, limits.account), _counts(guess.network, limits.address)
    pauses = account["pause_seconds"] or network["pause_seconds"]
    if code != _LOCKED and guess.account.failures > 1 and not pauses:
        return
    with parts.refusals.spend((refusal, code, guess.account.key, guess.account.failures)) as left_out:
        if left_out is None:
            return
        entry = event_of(
            parts,
            person(guess.user, origin) if in_session and guess.user else stranger(origin),
            refusal,
            guess.user.id if guess.user else ("unknown account", guess.name),
            reason=code,
            after={
                "account": {"name": guess.name, **account},
                "network": network,
                "others_left_out": left_out,
            },
        )
        async with parts.audit.turn():
            await run_transaction(parts.audit.client, parts.audit.recording(entry))


def _counts(attempt: Attempt, back_off: BackOff) -> dict[str, Any]:
    pause_seconds = math.ceil(back_off.pause_after(attempt.failures).total_seconds())
    return {"failures": attempt.failures, "held_back": attempt.held_back, "pause_seconds": pause_seconds}


def _pseudonym(key: bytes) -> str:
    return key.hex()[:_PSEUDONYM_LENGTH]
