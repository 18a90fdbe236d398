"""register, login, logout, whoami."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from bankctl.client.bank import BankClient, open_bank
from bankctl.errors import CliError, ExitStatus
from bankctl.prompts import ask, read_password
from bankctl.render import messages
from bankctl.render.output import emit
from bankctl.session import session_file

Email = Annotated[str | None, typer.Option("--email", metavar="ADDRESS", help="Your e-mail address.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
]


def register(
    *,
    email: Email = None,
    name: Annotated[str | None, typer.Option("--name", help="Your name as others see it.")] = None,
    password_stdin: PasswordStdin = False,
) -> None:
    r"""Become a user of the bank.

    Examples:
      bankctl register --email ann@example.com --name "Ann Lee"
      printf '%s\n' "$PASSWORD" | bankctl register --email ann@example.com --name Ann --password-stdin

    The password has 8 to 128 characters and is asked for without an echo. Afterwards `bankctl login`.
    """
    with open_bank(logged_in=False) as bank:
        user = bank.users.register(
            email=email or ask("E-mail", option="--email"),
            display_name=name or ask("Name", option="--name"),
            password=read_password(from_stdin=password_stdin, confirm=True),
        )
    emit(user, columns=["id", "email", "display_name", "role"])
    messages.success(f"registered; next: bankctl login --email {user['email']}")


def login(*, email: Email = None, password_stdin: PasswordStdin = False) -> None:
    r"""Log in and keep the session.

    Examples:
      bankctl login --email ann@example.com
      printf '%s\n' "$PASSWORD" | bankctl login --email ann@example.com --password-stdin

    The session is kept in a file that only you can read; `bankctl whoami` shows where.
    """
    with open_bank(logged_in=False) as bank:
        bank.http.forget_credentials()
        answer = bank.users.login(
            email=email or ask("E-mail", option="--email"),
            password=read_password(from_stdin=password_stdin),
        )
        bank.start_session(answer["user"], answer["session"])
        emit(_identity(bank, answer), columns=_COLUMNS)
    messages.success(f"logged in as {answer['user']['display_name']}")


def logout() -> None:
    """End the session, here and at the bank.

    Examples:
      bankctl logout
      bankctl logout --profile work
    """
    with open_bank(logged_in=False) as bank:
        if bank.session is None:
            messages.note("nobody was logged in")
            return
        try:
            bank.users.logout()
        except CliError as error:
            if error.exit_status is not ExitStatus.NOT_LOGGED_IN:
                raise
        bank.end_session()
    messages.success("logged out")


def whoami() -> None:
    """Who is logged in, with which role, where, until when, and where the session is kept.

    Examples:
      bankctl whoami
      bankctl whoami --query role
    """
    with open_bank() as bank:
        emit(_identity(bank, bank.users.current()), columns=_COLUMNS)


_COLUMNS = [
    "email",
    "display_name",
    "role",
    "user_id",
    "profile",
    "url",
    "expires_at",
    "expires_in",
    "session_file",
]


def _identity(bank: BankClient, answer: dict[str, Any]) -> dict[str, Any]:
    user, session = answer["user"], answer["session"]
    return {
        "email": user["email"],
        "display_name": user["display_name"],
        "role": user["role"],
        "user_id": user["id"],
        "profile": bank.profile.name,
        "url": bank.profile.url,
        "session_id": session["id"],
        "expires_at": session["expires_at"],
        "expires_in": remaining(session["expires_at"]),
        "session_file": str(session_file(bank.profile)),
    }


def remaining(expires_at: str) -> str:
    """How long until an RFC 3339 instant, in hours and minutes."""
    seconds = (datetime.fromisoformat(expires_at) - datetime.now(UTC)).total_seconds()
    if seconds <= 0:
        return "ended"
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours} h {minutes} min"
