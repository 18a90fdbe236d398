"""Going on with a session when its access cookie has ended, without asking the person."""

from dataclasses import replace

from bankctl.auth.session import StoredSession, load_session, save_session, session_lock
from bankctl.client.credentials import Credentials
from bankctl.client.http import Transport
from bankctl.errors import CliError, ExitStatus
from bankctl.render import messages


class SessionRenewal:
    """Renews the kept session of one profile; of several commands at once, one asks and the rest take over.

    A refresh cookie works for one exchange. So the exchange happens under a lock; a command that had to wait
    for it finds the new cookies in the file.
    """

    def __init__(self, http: Transport, session: StoredSession) -> None:
        self._http = http
        self._session = session

    def __call__(self) -> bool:
        """Get other cookies than the present ones; False if there are none to be had.

        Raises:
            CliError: the bank cannot be reached, or the session's file is exposed.
        """
        profile = self._http.profile
        with session_lock(profile):
            kept = load_session(profile)
            # Somebody else may have logged in meanwhile: a command never goes on as another person.
            if kept is None or kept.user_id != self._session.user_id:
                return False
            if kept.cookie == self._http.credentials.cookie:
                renewed = self._exchange(kept)
                if renewed is None:
                    return False
                self._keep(renewed)
                kept = renewed
            self._session, self._http.credentials = kept, Credentials.of(kept)
        return True

    def _keep(self, renewed: StoredSession) -> None:
        try:
            save_session(self._http.profile, renewed)
        except OSError as error:
            # The exchange is done, so this command goes on; the cookies in the file are good for nothing now.
            messages.warn(
                f"the renewed session cannot be written to {error.filename}: {error.strerror}; "
                "the next command will need `bankctl login`"
            )

    def _exchange(self, kept: StoredSession) -> StoredSession | None:
        offered = Credentials.of(kept)
        if not offered.refresh_cookie:
            return None
        self._http.credentials = offered
        try:
            answer = self._http.exchange(offered.refresh_header())
        except CliError as error:
            if error.exit_status is ExitStatus.NOT_LOGGED_IN:
                return None
            raise
        if not offered.cookie or offered.cookie == kept.cookie:
            return None
        user = answer.data["user"]
        return replace(
            kept,
            cookie=offered.cookie,
            refresh_cookie=offered.refresh_cookie,
            cookie_expires_at=offered.cookie_expires_at,
            display_name=str(user["display_name"]),
            role=str(user["role"]),
            expires_at=str(answer.data["session"]["expires_at"]),
        )
