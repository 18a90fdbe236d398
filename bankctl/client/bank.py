"""The bank as the commands see it: one profile, its session, and the resources behind it."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from bankctl import invocation
from bankctl.auth.session import (
    StoredSession,
    delete_session,
    load_device,
    load_session,
    save_device,
    save_session,
    session_lock,
)
from bankctl.client.accounts import Accounts
from bankctl.client.approvals import Approvals
from bankctl.client.audit import Audit
from bankctl.client.auth import Auth
from bankctl.client.banks import BankIdentity, ask_identity
from bankctl.client.checkpoints import Checkpoints
from bankctl.client.credentials import Credentials
from bankctl.client.dead_letters import DeadLetters
from bankctl.client.deliveries import Deliveries
from bankctl.client.events import Events
from bankctl.client.http import Transport
from bankctl.client.notifications import Notifications
from bankctl.client.renewal import SessionRenewal
from bankctl.client.transactions import Transactions
from bankctl.client.users import Users
from bankctl.client.webhooks import Webhooks
from bankctl.config import Profile, check_url, load_profile
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.render import messages
from daemons.contracts.vocabulary import API_KEY_PREFIX

API_KEY_VARIABLE = "BANKCTL_TOKEN"
_API_KEY = re.compile(rf"({API_KEY_PREFIX}[A-Za-z0-9_-]{{43}})(?:@(.+))?")


def api_key_for(profile: Profile, value: str) -> str:
    """The API key that BANKCTL_TOKEN holds as KEY@ORIGIN, if it was made by this profile's bank.

    Raises:
        CliError: it is no key, or one of another bank, which nothing is sent to then. The value is not shown,
            for it may be another secret.
    """
    parts = _API_KEY.fullmatch(value)
    if parts is None:
        raise usage_error(
            f"{API_KEY_VARIABLE} holds no API key ({API_KEY_PREFIX} and 43 letters and digits, then @ and "
            "the bank's URL)",
            hint="`bankctl auth api-keys create --name NAME --scope SCOPE` makes one; unset it to log in",
            code="invalid_api_key",
        )
    key, origin = parts.groups()
    if origin is None:
        raise usage_error(
            f"{API_KEY_VARIABLE} does not name the bank that its key is for, so the key was not sent",
            hint=f"if it is for {profile.url}, add @{profile.url} at its end",
            code="api_key_without_origin",
        )
    if check_url(origin) != profile.url:
        raise usage_error(
            f"the key in {API_KEY_VARIABLE} is for {check_url(origin)}, but profile {profile.name!r} is for "
            f"{profile.url}; the key was not sent",
            hint=f"choose that bank's profile with --profile, or unset {API_KEY_VARIABLE} to use the session",
            code="api_key_of_another_bank",
        )
    return key


class BankClient:
    """Everything that the command line asks of a bank, grouped by resource."""

    def __init__(
        self, profile: Profile, session: StoredSession | None = None, *, api_key: str | None = None
    ) -> None:
        self.profile = profile
        self.session = session
        if api_key is not None:
            self.http = Transport(profile, credentials=Credentials(api_key=api_key))
        elif session is not None:
            self.http = Transport(profile, credentials=Credentials.of(session))
            self.http.renew = SessionRenewal(self.http, session)
            self.http.email = session.email
        else:
            self.http = Transport(profile)
        self.auth = Auth(self.http)
        self.checkpoints = Checkpoints(self.http)
        self.users = Users(self.http)
        self.accounts = Accounts(self.http)
        self.transactions = Transactions(self.http)
        self.events = Events(self.http)
        self.audit = Audit(self.http)
        self.approvals = Approvals(self.http)
        self.dead_letters = DeadLetters(self.http)
        self.webhooks = Webhooks(self.http)
        self.deliveries = Deliveries(self.http)
        self.notifications = Notifications(self.http)

    def prepare_login(self) -> None:
        """Send what follows as nobody, from a machine that the bank may know."""
        self.http.forget_credentials()
        self.http.credentials.device_cookie = load_device(self.profile)

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
                hint="`bankctl config list` shows the URL of each profile",
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
        try:
            with session_lock(self.profile):
                save_session(self.profile, self.session)
        except OSError:
            # A session that nobody keeps must not live on.
            with suppress(CliError):
                self.users.logout()
            invocation.current().acted = False
            raise
        if credentials.device_cookie:
            # Without it the next login is one from a new machine, no more.
            with suppress(OSError):
                save_device(self.profile, credentials.device_cookie)
        return self.session

    def identity(self) -> BankIdentity:
        """Ask the bank who it is.

        Raises:
            CliError: it is another one than the session was begun at.
        """
        found = ask_identity(self.http)
        session = self.require_session()
        if session.bank_id is not None and session.bank_id != found.bank_id:
            raise CliError(
                f"the bank at {self.profile.url} is not the bank that you logged in to",
                exit_status=ExitStatus.NOT_LOGGED_IN,
                hint="`bankctl login`",
                code="another_bank",
            )
        if session.bank_id is None:
            self._keep_bank_id(session, found.bank_id)
        return found

    @property
    def bank_id(self) -> str:
        """The bank's own id; it is asked once and kept with the session, which no other bank accepts.

        Raises:
            CliError: nobody is logged in, or the bank cannot be asked.
        """
        return self.require_session().bank_id or self.identity().bank_id

    def _keep_bank_id(self, session: StoredSession, bank_id: str) -> None:
        self.session = replace(session, bank_id=bank_id)
        if self.http.credentials.api_key is not None:
            return
        # Where it cannot be kept it is asked again.
        with suppress(OSError), session_lock(self.profile):
            kept = load_session(self.profile)
            # Somebody else may have logged in meanwhile.
            if kept is not None and kept.user_id == session.user_id:
                save_session(self.profile, replace(kept, bank_id=bank_id))

    def end_session(self) -> None:
        """Forget the session that has just ended at the bank."""
        with session_lock(self.profile):
            delete_session(self.profile)
        self.session = None

    def require_session(self) -> StoredSession:
        """The session; with an API key, who it stands for.

        Raises:
            CliError: nobody is logged in.
        """
        if self.session is None and self.http.credentials.api_key is not None:
            user = self.users.me()
            self.session = StoredSession(
                url=self.profile.url,
                cookie="",
                user_id=str(user["id"]),
                email=str(user["email"]),
                display_name=str(user["display_name"]),
                role=str(user["role"]),
                expires_at="",
            )
        if self.session is None:
            raise CliError(
                f"nobody is logged in to {self.profile.url} (profile {self.profile.name})",
                exit_status=ExitStatus.NOT_LOGGED_IN,
                hint="`bankctl login`",
                code="not_logged_in",
            )
        return self.session

    def close(self) -> None:
        """Close the connection."""
        self.http.close()


def _session_of(profile: Profile, *, needed: bool) -> StoredSession | None:
    try:
        return load_session(profile)
    except CliError as error:
        if needed:
            raise
        # `login` puts another in its place, and `logout` takes it away.
        messages.warn(error.message)
        return None


@contextmanager
def open_bank(*, logged_in: bool = True) -> Iterator[BankClient]:
    """The bank of the chosen profile, with the kept session, or the API key in BANKCTL_TOKEN.

    Raises:
        CliError: no such profile, or `logged_in` and nobody is.
    """
    profile = load_profile(invocation.current().profile)
    api_key = os.environ.get(API_KEY_VARIABLE) or None
    if api_key is not None:
        bank = BankClient(profile, api_key=api_key_for(profile, api_key))
    else:
        bank = BankClient(profile, _session_of(profile, needed=logged_in))
    try:
        if logged_in and api_key is None:
            bank.require_session()
        yield bank
    finally:
        bank.close()
