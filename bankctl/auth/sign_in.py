"""register, login, logout, whoami."""

import shlex
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

import typer

from bankctl.auth.session import how_to_log_in, session_file, session_lock
from bankctl.client.bank import API_KEY_VARIABLE, BankClient, open_bank
from bankctl.errors import CliError, ExitStatus
from bankctl.prompts import ask, read_password, with_code_if_asked
from bankctl.render import messages
from bankctl.render.output import emit

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
    r"""Register as a user of the bank.

    Examples:
      bankctl register --email ann@example.com --name "Ann Lee"
      printf '%s\n' "$PASSWORD" | bankctl register --email ann@example.com --name Ann --password-stdin

    The password has 8 to 128 characters and is not shown as you type. The bank mails a code to the address,
    which `bankctl auth confirm-email` takes. Then run `bankctl login`.
    """
    with open_bank(logged_in=False) as bank:
        user = bank.users.register(
            email=email or ask("E-mail", option="--email"),
            display_name=name or ask("Name", option="--name"),
            password=read_password(from_stdin=password_stdin, confirm=True),
        )
        next_step = how_to_log_in(bank.profile.name, user["email"])
    emit(user, columns=["id", "email", "display_name", "role"])
    # The bank answers alike for an address that somebody has: it does not tell who its users are.
    if user["confirmation_required"]:
        messages.success(
            f"a message is on its way to {user['email']}; next, with the code in it: "
            f"`bankctl auth confirm-email --email {shlex.quote(user['email'])}`"
        )
    else:
        messages.success(f"registered, if the address was free; next: {next_step}")


def login(*, email: Email = None, password_stdin: PasswordStdin = False) -> None:
    r"""Log in and keep the session.

    Examples:
      bankctl login --email ann@example.com
      printf '%s\n' "$PASSWORD" | bankctl login --email ann@example.com --password-stdin

    With a second factor, the command also asks for a code; with --password-stdin the code is the second line.
    The session is stored in a file that only you can read; `bankctl whoami` shows where.
    """
    with open_bank(logged_in=False) as bank:
        bank.prepare_login()
        # What cannot be kept is not begun.
        with session_lock(bank.profile):
            pass
        address = email or ask("E-mail", option="--email")
        password = read_password(from_stdin=password_stdin)
        log_in = partial(bank.users.login, email=address, password=password)
        answer = with_code_if_asked(log_in, from_stdin=password_stdin)
        bank.start_session(answer["user"], answer["session"])
        emit(_identity(bank, answer), columns=_COLUMNS)
    messages.success(f"logged in as {answer['user']['display_name']}")
    if answer.get("second_factor") == "required":
        messages.note("your role needs a second factor first: `bankctl auth totp enroll`")


def logout() -> None:
    """End the session, here and at the bank.

    Examples:
      bankctl logout
      bankctl logout --profile work
    """
    with open_bank(logged_in=False) as bank:
        if bank.session is None:
            bank.end_session()
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
    """Show who is logged in, with which role, where, until when, and where the session is stored.

    Examples:
      bankctl whoami
      bankctl whoami --query role
    """
    with open_bank() as bank:
        if bank.http.credentials.api_key is not None:
            emit(_key_identity(bank, bank.users.me()), columns=_KEY_COLUMNS)
            return
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


_KEY_COLUMNS = ["email", "display_name", "role", "user_id", "profile", "url", "credential"]


def _key_identity(bank: BankClient, user: dict[str, Any]) -> dict[str, Any]:
    return {
        "email": user["email"],
        "display_name": user["display_name"],
        "role": user["role"],
        "user_id": user["id"],
        "profile": bank.profile.name,
        "url": bank.profile.url,
        "credential": f"the API key in {API_KEY_VARIABLE}",
    }


def _identity(bank: BankClient, answer: dict[str, Any]) -> dict[str, Any]:
    user, session = answer["user"], answer["session"]
    left = remaining(session["expires_at"])
    if left == _ENDED:
        # The bank has just answered for it.
        messages.warn(
            "this machine's clock is wrong: it says that the session has ended; `bankctl doctor` says more"
        )
    return {
        "email": user["email"],
        "display_name": user["display_name"],
        "role": user["role"],
        "user_id": user["id"],
        "profile": bank.profile.name,
        "url": bank.profile.url,
        "session_id": session["id"],
        "expires_at": session["expires_at"],
        "expires_in": left,
        "session_file": str(session_file(bank.profile)),
    }


_ENDED = "ended"


def remaining(expires_at: str) -> str:
    """The time until an RFC 3339 instant, in hours and minutes; `unknown` if the text is not one."""
    try:
        seconds = (datetime.fromisoformat(expires_at) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return "unknown"
    if seconds <= 0:
        return _ENDED
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours} h {minutes} min"
