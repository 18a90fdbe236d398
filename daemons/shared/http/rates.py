"""How many requests and rows a caller may send: token buckets in this process's memory (docs/adr/0014)."""

import math
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from daemons.contracts.errors import TransientError
from daemons.shared.auth.callers import Caller
from daemons.shared.networks import network_of

Monotonic = Callable[[], float]

REMEMBERED = 50_000
"""How many callers are remembered before those who have been quiet the longest are forgotten, twice over."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A bucket of `burst` requests that fills by `per_second`; 0 a second means no limit."""

    per_second: float
    burst: int

    @property
    def fill_seconds(self) -> float:
        """How long an empty bucket takes to be full."""
        return self.burst / self.per_second


class TooManyRequestsError(TransientError):
    """A caller's bucket is empty; `headers` says how large it is and when the next request is let in."""

    def __init__(self, kind: str, rate: Rate, wait_seconds: float, *, counted: str = "requests") -> None:
        wait = max(1, math.ceil(wait_seconds))
        super().__init__(
            "rate_limited",
            f"Too many {counted}: one {kind} may send {rate.burst} at once and {rate.per_second:g} a second "
            f"after that; go on in {wait} s.",
            retry_after_seconds=wait,
        )
        # draft-ietf-httpapi-ratelimit-headers-10: quota and window, what remains and when there is more.
        self.headers = {
            "RateLimit-Policy": f'"{kind}";q={rate.burst};w={math.ceil(rate.fill_seconds)}',
            "RateLimit": f'"{kind}";r=0;t={wait}',
        }


class Buckets:
    """Token buckets by whom they belong to, one number each: when the bucket will be full (GCRA).

    A bucket that has not been used for as long as it takes to fill is full, so it may be forgotten. Two
    generations do that without looking for them: each request moves its bucket into the present one, and when
    that has grown old or large the one before it is dropped.
    """

    def __init__(
        self,
        rate: Rate,
        *,
        monotonic: Monotonic = time.monotonic,
        remembered: int = REMEMBERED,
        largest_cost: int = 1,
    ) -> None:
        self.rate = rate
        self._monotonic = monotonic
        self._remembered = remembered
        self._interval = 1 / rate.per_second
        self._leeway = (rate.burst - 1) * self._interval
        self._present: dict[Hashable, float] = {}
        self._before: dict[Hashable, float] = {}
        # A bucket that owes tokens takes longer to be full.
        self._forget_seconds = rate.fill_seconds + (largest_cost - 1) * self._interval
        self._old_at = monotonic() + self._forget_seconds

    def __len__(self) -> int:
        return len(self._present) + len(self._before)

    def take(self, whose: Hashable, cost: int = 1) -> float:
        """Take tokens and return 0, or take none and return in how many seconds there will be one.

        Who has one left may take more than there are, and waits longer afterwards: what costs more than a
        bucket holds is let in as well.
        """
        now = self._monotonic()
        full_at = self._present.get(whose)
        if full_at is None:
            # Looked up before room is made, which would forget it just when its owner comes.
            full_at = self._before.get(whose, now)
            if now >= self._old_at or len(self._present) >= self._remembered:
                self._before, self._present = self._present, {}
                self._old_at = now + self._forget_seconds
        full_at = max(full_at, now)
        wait_seconds = full_at - now - self._leeway
        if wait_seconds > 0:
            self._present[whose] = full_at
            return wait_seconds
        self._present[whose] = full_at + cost * self._interval
        return 0


class RateLimits:
    """The limit of each signed-in caller, and that of each address for those who are nobody yet."""

    def __init__(self, *, callers: Rate, addresses: Rate, monotonic: Monotonic = time.monotonic) -> None:
        self._callers = Buckets(callers, monotonic=monotonic) if callers.per_second else None
        self._addresses = Buckets(addresses, monotonic=monotonic) if addresses.per_second else None

    def admit_caller(self, caller: Caller) -> None:
        """Count a request of a user, over all their sessions, or of an API key.

        Raises:
            TooManyRequestsError: their bucket is empty.
        """
        if self._callers is None:
            return
        wait_seconds = self._callers.take(_bucket_of(caller))
        if wait_seconds:
            raise TooManyRequestsError("caller", self._callers.rate, wait_seconds)

    def admit_address(self, address: str) -> None:
        """Count a request of somebody who is not signed in.

        Raises:
            TooManyRequestsError: the address' bucket is empty.
        """
        if self._addresses is None:
            return
        wait_seconds = self._addresses.take(network_of(address))
        if wait_seconds:
            raise TooManyRequestsError("address", self._addresses.rate, wait_seconds)


class RowLimit:
    """The limit of each caller's rows, of which one request may bring thousands."""

    def __init__(self, rate: Rate, *, largest: int, monotonic: Monotonic = time.monotonic) -> None:
        self._buckets = Buckets(rate, monotonic=monotonic, largest_cost=largest) if rate.per_second else None

    def admit(self, caller: Caller, rows: int) -> None:
        """Count the rows of a request.

        Raises:
            TooManyRequestsError: those before have used up the caller's bucket; nothing was counted.
        """
        if self._buckets is None:
            return
        wait_seconds = self._buckets.take(_bucket_of(caller), rows)
        if wait_seconds:
            raise TooManyRequestsError("caller", self._buckets.rate, wait_seconds, counted="rows")


def _bucket_of(caller: Caller) -> int:
    """Return whose bucket it is: the user's, or the API key's."""
    # A number is looked up in a fifth of the time that the id itself takes.
    return (caller.user_id if caller.key_digest is None else caller.session_id).int
