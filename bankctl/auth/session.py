"""The session of each profile, kept in a file that its owner alone can read.

The file holds the session's cookies, which are as good as the password until it ends. So it is refused when
others could have read it, and the cookies are only ever sent to the origin that issued them.
"""

import fcntl
import json
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bankctl import paths
from bankctl.config import Profile, load_config
from bankctl.errors import CliError, ExitStatus
from bankctl.files import ensure_private_directory, write_private

_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as it is kept between runs; `expires_at` is RFC 3339 in UTC as the bank gave it.

    `cookie_expires_at` is when the access cookie ends and the refresh cookie is needed, in seconds since the
    epoch by this machine's clock. `bank_id` is the bank's own id, once it was asked.
    """

    url: str
    cookie: str = field(repr=False)
    user_id: str
    email: str
    display_name: str
    role: str
    expires_at: str
    refresh_cookie: str | None = field(default=None, repr=False)
    cookie_expires_at: float | None = None
    bank_id: str | None = None


def session_file(profile: Profile) -> Path:
    """Where the session of a profile is kept."""
    return paths.state_dir() / "sessions" / f"{profile.name}.json"


def load_session(profile: Profile) -> StoredSession | None:
    """The stored session, or None if there is none for the profile's current origin.

    Raises:
        CliError: others can read or replace the file, or it is damaged; it is not used then.
    """
    path = session_file(profile)
    try:
        _refuse_exposed(path.parent, "700")
        _refuse_exposed(path, "600")
        stored = _parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise CliError(
            f"the session in {path} cannot be used: {why}",
            exit_status=ExitStatus.NOT_LOGGED_IN,
            hint="`bankctl login` starts a new one",
            code="session_file_damaged",
        ) from error
    return stored if stored.url == profile.url else None


def _parse(content: bytes) -> StoredSession:
    stored = StoredSession(**json.loads(content))
    texts = (stored.url, stored.cookie, stored.user_id, stored.email, stored.display_name, stored.role)
    optional = (stored.refresh_cookie or "", stored.expires_at, stored.bank_id or "")
    if not all(isinstance(text, str) for text in (*texts, *optional)):
        raise TypeError("a field is not a text")
    if not isinstance(stored.cookie_expires_at, float | int | None):
        raise TypeError("cookie_expires_at is not a number")
    return stored


def _refuse_exposed(path: Path, mode: str) -> None:
    status = path.stat()
    if status.st_mode & _OTHERS or status.st_uid != os.geteuid():
        raise CliError(
            f"{path} can be read or changed by others, so the session in it is not used",
            exit_status=ExitStatus.NOT_LOGGED_IN,
            hint=f"`chmod {mode} {path}` if you trust it; otherwise `bankctl login`, and "
            "end the old session (`bankctl auth sessions`)",
            code="session_file_exposed",
        )


def save_session(profile: Profile, session: StoredSession) -> Path:
    """Keep the session of a profile, replacing the one before; returns where."""
    path = session_file(profile)
    ensure_private_directory(path.parent)
    write_private(path, json.dumps(asdict(session)).encode())
    return path


def how_to_log_in(profile_name: str, email: str) -> str:
    """The command that logs somebody in without ending the session of somebody else on this machine."""
    profiles = load_config().profiles
    profile = profiles.get(profile_name)
    kept = load_session(profile) if profile is not None else None
    if kept is None or kept.email == email:
        return f"`bankctl login --profile {profile_name} --email {shlex.quote(email)}`"
    name = re.sub(r"[^a-z0-9-]+", "-", email.partition("@")[0].lower()).strip("-") or "other"
    while name in profiles:
        name += "-2"
    return (
        f"`bankctl config copy {profile_name} {name}`, for {kept.email} is logged in to {profile_name}, then "
        f"`bankctl login --profile {name} --email {shlex.quote(email)}`"
    )


def delete_session(profile: Profile) -> None:
    """Forget the session of a profile."""
    session_file(profile).unlink(missing_ok=True)


def _device_file(profile: Profile) -> Path:
    return paths.state_dir() / "devices" / f"{profile.name}.json"


def load_device(profile: Profile) -> str | None:
    """The cookie by which the profile's present origin knows this machine, None if it does not.

    It outlives the session: what a login shows with it is not held back by others' wrong guesses.
    """
    path = _device_file(profile)
    try:
        _refuse_exposed(path.parent, "700")
        _refuse_exposed(path, "600")
        kept = json.loads(path.read_text(encoding="utf-8"))
        return str(kept["cookie"]) if kept["url"] == profile.url else None
    except (OSError, ValueError, TypeError, KeyError, CliError):
        # It is only a help; a login makes a new one.
        return None


def save_device(profile: Profile, cookie: str) -> None:
    """Keep the cookie by which the bank knows this machine."""
    path = _device_file(profile)
    ensure_private_directory(path.parent)
    write_private(path, json.dumps({"url": profile.url, "cookie": cookie}).encode())


@contextmanager
def session_lock(profile: Profile) -> Iterator[None]:
    """Keep other commands from changing the profile's session meanwhile; waits for one that does.

    The system drops the lock with the process, so a command that was killed blocks nobody.
    """
    folder = ensure_private_directory(paths.state_dir() / "locks")
    ensure_private_directory(session_file(profile).parent)
    descriptor = os.open(folder / f"{profile.name}.session", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
