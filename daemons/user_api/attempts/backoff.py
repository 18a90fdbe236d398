"""How long somebody who guesses has to wait: some guesses are free, then each doubles the pause, to a bound.

The bound is what keeps a stranger's guesses from locking anybody out for good (OWASP ASVS 5.0 V6.3.1).
"""

from dataclasses import dataclass
from datetime import timedelta

FIRST_PAUSE = timedelta(seconds=1)
FORGOTTEN_AFTER = timedelta(hours=24)
"""Failures are counted together until none has come for this long, or the account's owner signs in."""
_DOUBLINGS = 17


@dataclass(frozen=True, slots=True, kw_only=True)
class BackOff:
    """How many failures cost nothing, and the longest pause after one."""

    free_failures: int
    longest_pause: timedelta

    @property
    def failures_of_interest(self) -> int:
        """How many failures earn the longest pause; more of them earn the same."""
        return self.free_failures + _DOUBLINGS

    def pause_after(self, failures: int) -> timedelta:
        """Return the pause that this many failures in a row earn."""
        doublings = failures - self.free_failures - 1
        if doublings < 0:
            return timedelta(0)
        # Doubled that often a second is past a day; the power itself must not grow without a bound.
        factor: int = 2 ** min(doublings, _DOUBLINGS)
        return min(FIRST_PAUSE * factor, self.longest_pause)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLimits:
    """The back-off of one account and that of one network address, which many people may share.

    `sign_ups` is that of an address from which people register.
    """

    account: BackOff
    address: BackOff
    sign_ups: BackOff
