"""auth status, sessions, totp, api-keys; the password, the address and the name, changed and recovered."""

import shlex
from functools import partial
from typing import Annotated

import typer

from bankctl.auth import api_keys, second_factor
from bankctl.auth.session import how_to_log_in
from bankctl.auth.sign_in import Email, whoami
from bankctl.client.bank import open_bank
from bankctl.errors import usage_error
from bankctl.prompts import ask, read_mailed_code, read_password, with_code_if_asked
from bankctl.render import messages
from bankctl.render.column import Column
from bankctl.render.output import emit

app = typer.Typer(
    help="""Sessions, the password, the second factor, and API keys.

Examples:
  bankctl auth status
  bankctl auth sessions
  bankctl auth reset --email ann@example.com
  bankctl auth totp enroll
  bankctl auth api-keys create --name ci --scope use_own_accounts
"""
)
app.add_typer(second_factor.app, name="totp")
app.add_typer(api_keys.app, name="api-keys")


@app.command()
def status() -> None:
    """Show whether anybody is logged in; exits 4 if not.

    Examples:
      bankctl auth status
      bankctl auth status --quiet && bankctl accounts list
    """
    whoami()


@app.command()
def sessions(
    *,
    end: Annotated[str | None, typer.Option("--end", metavar="ID", help="End that session.")] = None,
    end_others: Annotated[bool, typer.Option("--end-others", help="End all but this one.")] = False,
    end_all: Annotated[bool, typer.Option("--end-all", help="End all, this one too.")] = False,
) -> None:
    """List your sessions, or end some of them.

    Examples:
      bankctl auth sessions
      bankctl auth sessions --end 0190a1b2-7c3d-7e4f-8a5b-6c7d8e9f0a1b
      bankctl auth sessions --end-others
    """
    if [end is not None, end_others, end_all].count(True) > 1:
        raise usage_error("give only one of --end, --end-others and --end-all")
    with open_bank() as bank:
        if end_others or end_all:
            bank.auth.end_sessions(keep_current=end_others)
            if end_all:
                bank.end_session()
            messages.success("all other sessions have ended" if end_others else "all sessions have ended")
            return
        if end is not None:
            bank.users.end_session(end)
            messages.success("that session has ended")
            return
        emit(
            bank.users.sessions(),
            columns=[
                Column("id", "Session"),
                Column("current", "This one"),
                Column("device", "Device", rank=1, cut=True),
                Column("address", "Address", rank=2, cut=True),
                Column("created_at", "Began", rank=4),
                Column("last_seen_at", "Last seen"),
                Column("expires_at", "Ends", rank=3),
            ],
            title="Sessions",
        )


@app.command("confirm-email")
def confirm_email(
    *,
    email: Email = None,
    send: Annotated[
        bool, typer.Option("--send", help="Only have the code mailed again; you must be logged in.")
    ] = False,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read from stdin: the code, then the password.")
    ] = False,
) -> None:
    r"""Confirm your address with the code from the mail and the password that you registered with.

    Examples:
      bankctl auth confirm-email --email ann@example.com
      printf '%s\n' "$CODE" "$PASSWORD" | bankctl auth confirm-email --email ann@example.com --password-stdin
      bankctl auth confirm-email --send

    The code works once, for an hour. To get another one before you can log in, register again.
    """
    if send:
        with open_bank() as bank:
            bank.users.ask_for_confirmation()
        messages.success("unless your address is confirmed already, a code is on its way to it")
        return
    with open_bank(logged_in=False) as bank:
        address = email or ask("E-mail", option="--email")
        code = read_mailed_code(from_stdin=password_stdin)
        password = read_password(from_stdin=password_stdin)
        user = bank.users.confirm(email=address, code=code, password=password)
        next_step = how_to_log_in(bank.profile.name, user["email"])
    messages.success(f"{user['email']} is confirmed; next: {next_step}")


@app.command("reset")
def reset_password(
    *,
    email: Email = None,
    send: Annotated[bool, typer.Option("--send", help="Only have the code mailed.")] = False,
    have_code: Annotated[
        bool, typer.Option("--have-code", help="Have none mailed: you have one already.")
    ] = False,
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin",
            help="Read from stdin: the mailed code, the new password, a code of the second factor.",
        ),
    ] = False,
) -> None:
    r"""Set a new password if you have forgotten yours: a code is mailed to your address.

    Examples:
      bankctl auth reset --email ann@example.com
      bankctl auth reset --email ann@example.com --send
      printf '%s\n' "$CODE" "$NEW" | bankctl auth reset --email ann@example.com --have-code --password-stdin

    The code works once, for an hour. With a second factor, a code of your app or a recovery code is asked for
    as well. All your sessions and API keys end.
    """
    if send and have_code:
        raise usage_error("give only one of --send and --have-code")
    with open_bank(logged_in=False) as bank:
        address = email or ask("E-mail", option="--email")
        if not have_code:
            bank.auth.ask_for_reset(email=address)
            messages.note(f"if {address} is a user's address, a code is on its way to it")
            if send:
                return
        code = read_mailed_code(from_stdin=password_stdin)
        new = read_password(from_stdin=password_stdin, label="New password", confirm=True)
        reset = partial(bank.auth.reset_password, email=address, code=code, new=new)
        with_code_if_asked(reset, from_stdin=password_stdin)
        next_step = how_to_log_in(bank.profile.name, address)
    messages.success(f"the new password is set, and all sessions have ended; next: {next_step}")


@app.command("change-email")
def change_email(
    new_email: Annotated[str, typer.Argument(metavar="ADDRESS", help="The new address.")],
    *,
    have_code: Annotated[
        bool, typer.Option("--have-code", help="Have none mailed: you have one already.")
    ] = False,
    password_stdin: Annotated[
        bool,
        typer.Option(
            "--password-stdin",
            help="Read from stdin: the password and a code of the second factor; or the mailed code alone.",
        ),
    ] = False,
) -> None:
    r"""Change your address: a code is mailed to the new one, and the old one is told.

    Examples:
      bankctl auth change-email ann.lee@example.com
      printf '%s\n' "$PASSWORD" | bankctl auth change-email ann.lee@example.com --password-stdin
      printf '%s\n' "$CODE" | bankctl auth change-email ann.lee@example.com --have-code --password-stdin

    The old address can undo the change for three days (`bankctl auth undo`). Without a terminal, the first
    run has the code mailed and the second one takes it.
    """
    with open_bank() as bank:
        if not have_code:
            password = read_password(from_stdin=password_stdin)
            ask_for_code = partial(bank.auth.ask_for_email, new=new_email, password=password)
            with_code_if_asked(ask_for_code, from_stdin=password_stdin)
            messages.note(f"a message is on its way to {new_email}")
            if password_stdin:
                return
        user = bank.auth.change_email(code=read_mailed_code(from_stdin=password_stdin))
    messages.success(f"your address is {user['email']} now; log in with it from now on")


@app.command("change-name")
def change_name(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Your name as others see it.")],
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
    ] = False,
) -> None:
    """Change your name; your address is told, and can undo it for three days.

    Examples:
      bankctl auth change-name "Ann Lee-Jones"
    """
    with open_bank() as bank:
        user = bank.auth.change_name(name=name, password=read_password(from_stdin=password_stdin))
    messages.success(f"your name is {user['display_name']} now")


@app.command()
def undo(
    *,
    email: Email = None,
    code_stdin: Annotated[
        bool, typer.Option("--code-stdin", help="Read the code from the mail from stdin.")
    ] = False,
) -> None:
    r"""Undo a change of your address or name that was not you, with the code from the mail that told it.

    Examples:
      bankctl auth undo --email ann@example.com
      printf '%s\n' "$CODE" | bankctl auth undo --email ann@example.com --code-stdin

    The address is the one that the mail came to. The person who made the change knows your password, so all
    sessions and API keys end, and the password counts no longer. Set a new one with `bankctl auth reset`.
    """
    with open_bank(logged_in=False) as bank:
        address = email or ask("E-mail", option="--email")
        bank.auth.undo(email=address, code=read_mailed_code(from_stdin=code_stdin))
    messages.success(
        f"undone, and everybody is logged out; next: `bankctl auth reset --email {shlex.quote(address)}`"
    )


@app.command()
def accesses() -> None:
    """List which of the bank's staff have read your data, and why.

    Examples:
      bankctl auth accesses
      bankctl auth accesses -o json --query "[?contains(seen, 'view_as')]"

    Staff give a reason once per customer and hour; what kind of data they read in that hour is listed.
    Entries are kept for 400 days.
    """
    with open_bank() as bank:
        emit(
            bank.auth.accesses(),
            columns=[
                Column("at", "Time"),
                Column("role", "Role"),
                Column("reason", "Why", cut=True),
                Column("seen", "What", cut=True),
                Column("until", "Until", rank=1),
            ],
            title="Accesses",
        )


@app.command("change-password")
def change_password(
    *,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read both from stdin: old, then new, one a line.")
    ] = False,
    keep_other_sessions: Annotated[
        bool, typer.Option("--keep-other-sessions", help="Stay logged in elsewhere.")
    ] = False,
) -> None:
    """Change your password; your other sessions end unless you keep them.

    Examples:
      bankctl auth change-password
      bankctl auth change-password --keep-other-sessions
    """
    with open_bank() as bank:
        current = read_password(from_stdin=password_stdin, label="Current password")
        new = read_password(from_stdin=password_stdin, label="New password", confirm=True)
        if current == new:
            raise usage_error("the new password is the same as the old one")
        bank.users.change_password(current=current, new=new, end_other_sessions=not keep_other_sessions)
    messages.success("password changed")
