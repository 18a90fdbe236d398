"""doctor: checks the connection to the bank, and says how to fix it."""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bankctl import __version__, invocation, paths
from bankctl.auth.session import StoredSession, load_session
from bankctl.client.bank import API_KEY_VARIABLE, BankClient, api_key_for
from bankctl.client.failures import LARGEST_SKEW_SECONDS, clock_skew, skew_text
from bankctl.config import Profile, config_file, load_profile
from bankctl.errors import CliError, ExitStatus
from bankctl.payments.pending import list_pending
from bankctl.render.column import Column
from bankctl.render.messages import with_profile
from bankctl.render.output import emit
from daemons.contracts.names import Daemon

_OLDEST_PYTHON = (3, 11)
# Whatever else is asked would end in the same way.
_NO_WAY = frozenset({"unreachable", "proxy_failed", "tls_untrusted", "tls_clock_wrong"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `mend` says what to do if it is not ok."""

    check: str
    result: str
    detail: str
    mend: str | None = None

    def row(self) -> dict[str, str | None]:
        """The finding as a row."""
        mend = with_profile(self.mend) if self.mend else None
        return {"check": self.check, "result": self.result, "detail": self.detail, "mend": mend}


def doctor() -> None:
    """Check the connection to the bank and the local setup, and say how to fix problems.

    Examples:
      bankctl doctor
      bankctl doctor --profile work -o json

    Exits 1 if a check fails; parts missing for a bank on this machine are only warnings.
    """
    findings = list(_look())
    emit(
        [finding.row() for finding in findings],
        columns=[
            Column("check", "Check"),
            Column("result", "Result"),
            Column("detail", "Detail"),
            Column("mend", "Remedy"),
        ],
    )
    wrong = [finding for finding in findings if finding.result == "FAILED"]
    if wrong:
        raise CliError(
            f"{len(wrong)} of {len(findings)} checks failed: {', '.join(item.check for item in wrong)}",
            exit_status=ExitStatus.UNEXPECTED,
            hint=wrong[0].mend,
            code="doctor_found_faults",
        )


def _look() -> Iterator[Finding]:
    yield _python()
    yield from _parts()
    yield _attempt("bankctl", _folders)
    yield _time_zone()
    try:
        profile = load_profile(invocation.current().profile)
    except CliError as error:
        yield _failed("profile", error)
        return
    yield Finding("profile", "ok", f"{profile.name}: {profile.url}")
    if value := os.environ.get(API_KEY_VARIABLE):
        yield _attempt("API key", lambda: _api_key(profile, value))
    try:
        session = load_session(profile)
    except CliError as error:
        yield _failed("session file", error)
        session = None
    yield from _bank(profile, session)


def _folders() -> Finding:
    """Where things are kept; each folder must take a file."""
    for folder in (paths.config_dir(), paths.state_dir()):
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"doctor")
            file.flush()
    return Finding(
        "bankctl", "ok", f"{__version__}, profiles in {config_file()}, state in {paths.state_dir()}"
    )


def _api_key(profile: Profile, value: str) -> Finding:
    api_key_for(profile, value)
    return Finding("API key", "ok", f"{API_KEY_VARIABLE} holds one for this bank")


def _time_zone() -> Finding:
    if (named := invocation.unknown_zone()) is not None:
        mend = "set TZ to a zone such as Europe/Vienna, or unset it"
        return Finding("time zone", "FAILED", f"TZ is {named!r}, which is not a time zone; UTC is used", mend)
    return Finding("time zone", "ok", " or ".join(dict.fromkeys(time.tzname)))


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] >= _OLDEST_PYTHON:
        return Finding("Python", "ok", version)
    return Finding("Python", "FAILED", version, "install Python 3.11 or newer")


def _parts() -> Iterator[Finding]:
    # Only this command looks for the parts of a local bank from here.
    from bankctl.local.cache import find_valkey  # noqa: PLC0415
    from bankctl.local.gateway import find_caddy, find_swagger_ui  # noqa: PLC0415
    from bankctl.local.kafka import find_java  # noqa: PLC0415
    from bankctl.local.mongod import find_mongod  # noqa: PLC0415

    parts = {
        "MongoDB": find_mongod,
        "Java": find_java,
        "Caddy": find_caddy,
        "Valkey": find_valkey,
        "Swagger UI": find_swagger_ui,
    }
    for name, find in parts.items():
        try:
            yield Finding(name, "ok", f"for a bank on this machine: {find()}")
        except CliError as error:
            mend = f"only for `bankctl dev up`: {error.hint}"
            yield Finding(name, "warning", error.message, mend)


def _bank(profile: Profile, session: StoredSession | None) -> Iterator[Finding]:
    try:
        bank = BankClient(profile, session)
    except CliError as error:
        yield _failed("certificate" if error.code.startswith("tls_") else "connection", error)
        return
    try:
        yield from _gateway(bank)
        if session is None:
            yield Finding("session", "warning", "nobody is logged in", "`bankctl login`")
        else:
            yield _attempt("session", lambda: _session(bank))
            yield _attempt("transfers", lambda: _pending(bank))
    finally:
        bank.close()


def _gateway(bank: BankClient) -> Iterator[Finding]:
    for daemon in Daemon:
        started = time.monotonic()
        try:
            answer = bank.http.request("GET", f"/openapi/{daemon}.json")
        except CliError as error:
            yield _failed(daemon, error)
            if error.code in _NO_WAY:
                return
            continue
        elapsed = (time.monotonic() - started) * 1000
        info = answer.data.get("info", {}) if isinstance(answer.data, dict) else {}
        yield Finding(daemon, "ok", f"version {info.get('version', 'unknown')}, answered in {elapsed:.0f} ms")
        if daemon == "user_api":
            yield _skew(answer.headers.get("Date"))


def _skew(date: str | None) -> Finding:
    if not date:
        return Finding("clock", "warning", "the gateway does not send its time")
    seconds = clock_skew(date)
    if seconds is None:
        return Finding("clock", "warning", "the gateway's Date cannot be read")
    if abs(seconds) <= LARGEST_SKEW_SECONDS:
        return Finding("clock", "ok", "agrees with the bank's")
    return Finding(
        "clock",
        "FAILED",
        f"{skew_text(seconds)} the bank's",
        "set this machine's clock (timedatectl set-ntp true)",
    )


def _session(bank: BankClient) -> Finding:
    found = bank.users.current()
    user, ends = found["user"], found["session"]["expires_at"]
    return Finding("session", "ok", f"{user['email']}, {user['role']}, until {ends}")


def _pending(bank: BankClient) -> Finding:
    waiting = list_pending(bank_id=bank.bank_id, user_id=bank.require_session().user_id)
    if not waiting:
        return Finding("transfers", "ok", "none with an unknown outcome")
    return Finding(
        "transfers",
        "warning",
        f"{len(waiting)} with an unknown outcome",
        "`bankctl transactions retry --all` settles them",
    )


def _attempt(check: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except CliError as error:
        return _failed(check, error)
    except OSError as error:
        mend = "fix its permissions, free some space, or set BANKCTL_HOME to another folder"
        return Finding(check, "FAILED", f"{error.filename} cannot be used: {error.strerror}", mend)


def _failed(check: str, error: CliError) -> Finding:
    return Finding(check, "FAILED", error.message, error.hint)
