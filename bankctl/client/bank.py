"""The bank as the commands see it: one profile, its session, and the resources behind it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bankctl import invocation
from bankctl.client.accounts import Accounts
from bankctl.client.approvals import Approvals
from bankctl.client.audit import Audit
from bankctl.client.credentials import Credentials
from bankctl.client.events import Events
from bankctl.client.http import Transport
from bankctl.client.renewal import SessionRenewal
from bankctl.client.transactions import Transactions
from bankctl.client.users import Users
from bankctl.config import Profile, load_profile
from bankctl.errors import CliError, ExitStatus
from bankctl.session import StoredSession, delete_session, load_session, save_session, session_lock


class BankClient:
    """Everything that the command line asks of a bank, grouped by resource."""

    def __init__(self, profile: Profile, session: StoredSession | None = None) -> None:
        self.profile = profile
        self.session = session
        self.http = Transport(profile, credentials=Credentials.of(session) if session else None)
        if session is not None:
            self.http.renew = SessionRenewal(self.http, session)
        self.users = Users(self.http)
        self.accounts = Accounts(self.http)
        self.transactions = Transactions(self.http)
        self.events = Events(self.http)
        self.audit = Audit(self.http)
        self.approvals = Approvals(self.http)

    def start_session(self, user: Mapping[str, Any], session: Mapping[str, Any]) -> StoredSession:
        """Keep the session that a login has just begun.

        Raises:
            CliError: the bank gave no session cookie.
        """
        credentials = self.http.credentials
        if not credentials.cookie:
            raise CliError(
                "the bank accepted the login and sent no session",
                exit_status=ExitStatus.UNEXPECTED,
                hint="`bankctl config list` shows where the profile points",
                code="no_session_cookie",
            )
        self.session = StoredSession(
            url=self.profile.url,
            cookie=credentials.cookie,
            user_id=str(user["id"]),
            email=str(user["email"]),
            display_name=str(user["display_name"]),
            role=str(user["role"]),
            expires_at=str(session["expires_at"]),
            refresh_cookie=credentials.refresh_cookie,
            cookie_expires_at=credentials.cookie_expires_at,
        )
        with session_lock(self.profile):
            save_session(self.profile, self.session)
        return self.session

    def end_session(self) -> None:
        """Forget the session that has just ended at the bank."""
        with session_lock(self.profile):
            delete_session(self.profile)
        self.session = None

    def require_session(self) -> StoredSession:
        """The session.

        Raises:
            CliError: nobody is logged in.
        """
        if self.session is None:
            raise CliError(
                f"nobody is logged in to {self.profile.url} (profile {self.profile.name})",
                exit_status=ExitStatus.NOT_LOGGED_IN,
                hint="bankctl login --email YOU@EXAMPLE",
                code="not_logged_in",
            )
        return self.session

    def close(self) -> None:
        """Close the connection."""
        self.http.close()


@contextmanager
def open_bank(*, logged_in: bool = True) -> Iterator[BankClient]:
    """The bank of the chosen profile, with the kept session.

    Raises:
        CliError: no such profile, or `logged_in` and nobody is.
    """
    profile = load_profile(invocation.current().profile)
    bank = BankClient(profile, load_session(profile))
    try:
        if logged_in:
            bank.require_session()
        yield bank
    finally:
        bank.close()
