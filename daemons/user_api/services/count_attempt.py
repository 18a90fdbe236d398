"""Making guesses slow: each attempt is counted for its account and for the network address it comes from."""

import hmac
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import structlog

from daemons.contracts.errors import BankError, TransientError
from daemons.shared.networks import network_of
from daemons.user_api.domain.backoff import BackOff
from daemons.user_api.services.parts import Parts
from daemons.user_api.storage.mongo_attempts import Attempt

_log = structlog.get_logger()
_FAILED_GUESSES = frozenset({"invalid_credentials", "invalid_totp"})


@asynccontextmanager
async def counted_attempt(
    parts: Parts, *, account: str, address: str, forgets: bool = False
) -> AsyncIterator[None]:
    """Judge an attempt inside; a failed guess stays counted.

    Args:
        parts: The parts of the daemon.
        account: What was given as the user's address; unknown ones are counted alike.
        address: Where the attempt comes from.
        forgets: A success forgets the account's failures. Only for all factors at once: whoever knows one
            could otherwise guess the other without end.

    Raises:
        TransientError: `rate_limited`, the attempt was not let in.
    """
    limits = parts.sign_in_limits
    by_address = await _admit(parts, "address", network_of(address), limits.address)
    try:
        by_account = await _admit(parts, "account", account, limits.account)
    except BankError:
        await parts.attempts.take_back(by_address)
        raise
    try:
        yield
    except BankError as error:
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


async def _admit(parts: Parts, kind: str, name: str, back_off: BackOff) -> Attempt:
    # People type passwords into the wrong field: what is kept must not be guessable from a copy.
    key = hmac.digest(parts.attempts_key, f"{kind}:{name}".encode(), "sha256")
    now = parts.clock()
    admitted = await parts.attempts.admit(key, back_off, now)
    if isinstance(admitted, datetime):
        _log.warning("attempt held back", by=kind, key=key.hex()[:16])
        wait_seconds = math.ceil((admitted - now).total_seconds())
        raise TransientError(
            "rate_limited", "Too many attempts have failed; wait a little.", retry_after_seconds=wait_seconds
        )
    return admitted
