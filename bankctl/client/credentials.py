"""What tells the bank who is calling: the cookies of a session, or an API key."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.cookies import CookieError, Morsel, SimpleCookie

from bankctl.auth.session import StoredSession
from daemons.contracts.names import DEVICE_COOKIE, REFRESH_COOKIE, SESSION_COOKIE


@dataclass(slots=True)
class Credentials:
    """The cookies that the bank last gave; `cookie_expires_at` in seconds since the epoch, by our clock.

    With an API key no cookie is sent.
    """

    cookie: str | None = field(default=None, repr=False)
    refresh_cookie: str | None = field(default=None, repr=False)
    cookie_expires_at: float | None = None
    api_key: str | None = field(default=None, repr=False)
    device_cookie: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, session: StoredSession) -> "Credentials":
        """The credentials of a kept session."""
        return cls(session.cookie, session.refresh_cookie, session.cookie_expires_at)

    def header(self) -> dict[str, str]:
        """What every request carries; the refresh cookie goes with an exchange only."""
        if self.api_key is not None:
            return {"Authorization": f"Bearer {self.api_key}"}
        return {"Cookie": f"{SESSION_COOKIE}={self.cookie}"} if self.cookie else {}

    def refresh_header(self) -> dict[str, str]:
        """What the exchange for new cookies carries."""
        return {"Cookie": f"{REFRESH_COOKIE}={self.refresh_cookie}"}

    def device_header(self) -> dict[str, str]:
        """What a login carries."""
        return {"Cookie": f"{DEVICE_COOKIE}={self.device_cookie}"} if self.device_cookie else {}

    def end_within(self, seconds: float) -> bool:
        """Whether the access cookie ends so soon."""
        return self.cookie_expires_at is not None and time.time() > self.cookie_expires_at - seconds

    def take(self, headers: Iterable[str]) -> None:
        """Keep what an answer's Set-Cookie headers say; an empty cookie is one taken back."""
        for header in headers:
            try:
                cookies = SimpleCookie(header)
            except CookieError:
                continue
            if (access := cookies.get(SESSION_COOKIE)) is not None:
                self.cookie = access.value or None
                # Counted by our own clock, which need not agree with the bank's.
                self.cookie_expires_at = _end_of(access)
            if (refresh := cookies.get(REFRESH_COOKIE)) is not None:
                self.refresh_cookie = refresh.value or None
            if (device := cookies.get(DEVICE_COOKIE)) is not None:
                self.device_cookie = device.value or None


def _end_of(morsel: "Morsel[str]") -> float | None:
    try:
        return time.time() + float(morsel["max-age"])
    except ValueError:
        return None
