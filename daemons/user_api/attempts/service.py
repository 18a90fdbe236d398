"""Making guesses slow: each attempt is counted for its account and for the network address it comes from."""

import hmac
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from daemons.contracts.errors import BankError, TransientError
from daemons.shared.audit.budget import RecordBudget
from daemons.shared.audit.record import Actor, Origin, stranger
from daemons.shared.clock import Clock
from daemons.shared.networks import network_of
from daemons.user_api.attempts.backoff import BackOff, SignInLimits
from daemons.user_api.attempts.storage import Attempt, MongoAttempts
from daemons.user_api.mail.message import Template
from daemons.user_api.mail.notices import notify
from daemons.user_api.security_events import SecurityEvent, event_of
from daemons.user_api.unit_of_work import UserWork

_log = structlog.get_logger()
_FAILED_GUESSES = frozenset({"invalid_credentials", "invalid_totp", "invalid_code"})
_LOCKED = "user_locked"
_PSEUDONYM_LENGTH = 16
_TOO_MANY_FAILURES = "Too many attempts have failed; wait a little."
_TOO_MUCH_MAIL = "Too many codes have been asked for from this address; wait a little."
_TOO_MANY_SIGN_UPS = "Too many people have registered from this address; wait a little."


@dataclass(slots=True)
class Guess:
    """A counted attempt that may go on; the check that follows says whose account it is."""

    account: Attempt
    network: Attempt
    user_id: UUID | None

    @property
    def name(self) -> str:
        """What was typed as the account, as the log and the audit keep it: a keyed digest."""
        return _pseudonym(self.account.key)


class AttemptCounter:
    """Counts attempts, holds back those that come too often, and records refusals."""

    def __init__(
        self,
        work: UserWork,
        store: MongoAttempts,
        *,
        key: bytes,
        limits: SignInLimits,
        budget: RecordBudget,
        clock: Clock,
    ) -> None:
        """Make one; the key makes pseudonyms of what people type, the budget bounds what is recorded."""
        self._work = work
        self._store = store
        self._key = key
        self._limits = limits
        self._budget = budget
        self._clock = clock

    @asynccontextmanager
    async def counted(
        self,
        account: str,
        origin: Origin,
        refusal: SecurityEvent,
        *,
        actor: Actor | None = None,
        forgets: bool = False,
        device: bytes | None = None,
    ) -> AsyncIterator[Guess]:
        """Check an attempt inside; a failed guess stays counted, and is recorded in the audit if necessary.

        Args:
            account: What was given as the user's address; unknown ones are counted alike.
            origin: Where the attempt comes from.
            refusal: What a failed guess is in the audit.
            actor: The user whose account it is, if that is known by their session.
            forgets: A success clears the account's failures. Only for all factors at once: somebody who
                knows one could otherwise guess the other without end.
            device: The known device that it comes from, which is then counted in place of account and
                address.

        Raises:
            TransientError: `rate_limited`, the attempt was not let in.
        """
        if device is None:
            place, name = network_of(origin.address), account
        else:
            place = name = f"device {device.hex()}"
        by_address = await self._admit("address", place, self._limits.address)
        try:
            by_account = await self._admit("account", name, self._limits.account)
        except BankError:
            await self._store.take_back(by_address)
            raise
        guess = Guess(by_account, by_address, None if actor is None else actor.user_id)
        try:
            yield guess
        except BankError as error:
            if error.code in _FAILED_GUESSES or error.code == _LOCKED:
                await self._record(guess, refusal, error.code, actor or stranger(origin))
            # Those who hang up early stay counted: only an answer of ours shows that it was no guess.
            if error.code not in _FAILED_GUESSES:
                for attempt in (by_address, by_account):
                    await self._store.take_back(attempt)
            raise
        await self._store.take_back(by_address)
        if forgets:
            await self._store.forget(by_account.key)
        else:
            await self._store.take_back(by_account)

    @asynccontextmanager
    async def counted_sign_up(self, origin: Origin) -> AsyncIterator[None]:
        """Let an address register somebody, or hold it back; what is refused for its content is not counted.

        It makes no difference whether the address was free; the answer does not reveal it.

        Raises:
            TransientError: `rate_limited`, too many have registered from there.
        """
        async with self._counted_network("sign-up", origin, _TOO_MANY_SIGN_UPS):
            yield

    @asynccontextmanager
    async def counted_mail(self, origin: Origin) -> AsyncIterator[None]:
        """Let an address have a code mailed, or hold it back, as with registrations.

        It makes no difference whether the mail has anybody to go to.

        Raises:
            TransientError: `rate_limited`, too many were asked for from there.
        """
        async with self._counted_network("mail", origin, _TOO_MUCH_MAIL):
            yield

    @asynccontextmanager
    async def counted_code(self, email: str, origin: Origin) -> AsyncIterator[Guess]:
        """Check a mailed code inside. Guesses at codes are counted apart from those at the password.

        Raises:
            TransientError: `rate_limited`, the attempt was not let in.
        """
        async with self.counted(f"code {email}", origin, SecurityEvent.CODE_REFUSED, forgets=True) as guess:
            yield guess

    def pseudonym(self, account: str) -> str:
        """Return what stands in the audit for an address that is nobody's: a keyed digest."""
        return _pseudonym(self._key_of("account", account))

    @asynccontextmanager
    async def _counted_network(self, kind: str, origin: Origin, refusal: str) -> AsyncIterator[None]:
        by_address = await self._admit(kind, network_of(origin.address), self._limits.sign_ups, refusal)
        try:
            yield
        except BankError:
            await self._store.take_back(by_address)
            raise

    async def _admit(
        self, kind: str, name: str, back_off: BackOff, refusal: str = _TOO_MANY_FAILURES
    ) -> Attempt:
        key = self._key_of(kind, name)
        now = self._clock()
        admitted = await self._store.admit(key, back_off, now)
        if isinstance(admitted, datetime):
            _log.warning("attempt held back", by=kind, key=_pseudonym(key))
            wait_seconds = math.ceil((admitted - now).total_seconds())
            raise TransientError("rate_limited", refusal, retry_after_seconds=wait_seconds)
        return admitted

    def _key_of(self, kind: str, name: str) -> bytes:
        # People type passwords into the wrong field: what is kept must not be guessable from a copy.
        return hmac.digest(self._key, f"{kind}:{name}".encode(), "sha256")

    async def _record(self, guess: Guess, refusal: SecurityEvent, code: str, actor: Actor) -> None:
        """Record a refusal if it is an account's first, if a pause begins with it, or if the user is locked.

        Those between are in the count of the next one, and floods from everywhere are bounded besides:
        somebody who guesses must not make the trail grow at will (docs/adr/0012). Unknown accounts are
        recorded alike.
        """
        account = _counts(guess.account, self._limits.account)
        network = _counts(guess.network, self._limits.address)
        pauses = account["pause_seconds"] or network["pause_seconds"]
        if code != _LOCKED and guess.account.failures > 1 and not pauses:
            return
        with self._budget.spend((refusal, code, guess.account.key, guess.account.failures)) as left_out:
            if left_out is None:
                return
            entry = event_of(
                self._clock(),
                actor,
                refusal,
                guess.user_id or ("unknown account", guess.name),
                reason=code,
                after={
                    "account": {"name": guess.name, **account},
                    "network": network,
                    "others_left_out": left_out,
                },
            )
            begins = guess.account.failures == self._limits.account.free_failures + 1
            async for attempt in self._work.attempts():
                async with attempt as tx:
                    if begins and guess.user_id is not None:
                        user = await tx.users.get(guess.user_id)
                        await notify(tx, user, Template.SIGN_IN_SLOWED, entry.at, address=entry.actor.address)
                    tx.audit(entry)


def _counts(attempt: Attempt, back_off: BackOff) -> dict[str, Any]:
    pause_seconds = math.ceil(back_off.pause_after(attempt.failures).total_seconds())
    return {"failures": attempt.failures, "held_back": attempt.held_back, "pause_seconds": pause_seconds}


def _pseudonym(key: bytes) -> str:
    return key.hex()[:_PSEUDONYM_LENGTH]
