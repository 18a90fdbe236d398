"""The session of each profile, kept in a file that its owner alone can read.

The file holds the session cookie, which is as good as the password until it ends. So it is refused when
others could have read it, and the cookie is only ever sent to the origin that issued it.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from bankctl import paths
from bankctl.config import Profile
from bankctl.errors import CliError, ExitStatus
from bankctl.files import ensure_private_directory, write_private

COOKIE_NAME = "__Host-bankctl"
_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as it is kept between runs; `expires_at` is RFC 3339 in UTC as the bank gave it."""

    url: str
    cookie: str
    user_id: str
    email: str
    display_name: str
    role: str
    expires_at: str


def session_file(profile: Profile) -> Path:
    """Where the session of a profile is kept."""
    return paths.state_dir() / "sessions" / f"{profile.name}.json"


def load_session(profile: Profile) -> StoredSession | None:
    """The kept session, or None if there is none for the profile's present origin.

    Raises:
        CliError: others can read or replace the file; it is not used then.
    """
    path = session_file(profile)
    try:
        _refuse_exposed(path.parent, "700")
        _refuse_exposed(path, "600")
        stored = StoredSession(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return None  # A half-known session is no session: logging in writes a new one.
    return stored if stored.url == profile.url else None


def _refuse_exposed(path: Path, mode: str) -> None:
    status = path.stat()
    if status.st_mode & _OTHERS or status.st_uid != os.geteuid():
        raise CliError(
            f"{path} can be read or changed by others, so the session in it is not used",
            exit_status=ExitStatus.NOT_LOGGED_IN,
            hint=f"`chmod {mode} {path}` if you trust it, else `bankctl auth sessions` after a new "
            "`bankctl login` shows what to end",
            code="session_file_exposed",
        )


def save_session(profile: Profile, session: StoredSession) -> Path:
    """Keep the session of a profile, replacing the one before; returns where."""
    path = session_file(profile)
    ensure_private_directory(path.parent)
    write_private(path, json.dumps(asdict(session)).encode())
    return path


def delete_session(profile: Profile) -> None:
    """Forget the session of a profile."""
    session_file(profile).unlink(missing_ok=True)
