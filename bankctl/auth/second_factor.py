"""auth totp enroll, confirm, disable, lost, keep."""

import sys
from functools import partial
from typing import Annotated

import typer

from bankctl import invocation
from bankctl.auth.sign_in import Email
from bankctl.client.bank import BankClient, open_bank
from bankctl.errors import CliError
from bankctl.prompts import ask, read_code, read_mailed_code, read_password
from bankctl.render import messages
from bankctl.render.output import emit

app = typer.Typer(
    help="""The second factor: codes from an app on your phone.

Examples:
  bankctl auth totp enroll
  bankctl auth totp disable
"""
)
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of stdin.")
]


@app.command()
def enroll(*, password_stdin: PasswordStdin = False) -> None:
    r"""Show the secret for your app, as a QR code on a terminal, and ask for its first code.

    Examples:
      bankctl auth totp enroll
      printf '%s\n' "$PASSWORD" | bankctl auth totp enroll --password-stdin --query secret

    Staff whose role needs a second factor enrol their first one with a code that an administrator
    (`bankctl admin enrolment-code`) or the server's shell hands out. It works once, for three days, and is
    asked for; with --password-stdin it is the second line.
    Without a terminal, confirm with `bankctl auth totp confirm`. Your other sessions end when the second
    factor takes effect.
    """
    with open_bank() as bank:
        begin = partial(bank.auth.begin_totp, password=read_password(from_stdin=password_stdin))
        try:
            begun = begin()
        except CliError as error:
            if error.code != "enrolment_code_required":
                raise
            handed_out = (
                sys.stdin.readline().strip() if password_stdin else ask("Enrolment code", option="the code")
            )
            if not handed_out:
                raise
            begun = begin(enrolment_code=handed_out)
        run = invocation.current()
        interactive = run.interactive and not password_stdin and not run.machine_readable
        if interactive:
            show_qr_code(begun["otpauth_uri"])
        emit(begun, columns=["secret", "otpauth_uri"], shown_once=True)
        if interactive:
            _confirm(bank, read_code(from_stdin=False))
        else:
            messages.note("next: `bankctl auth totp confirm`")


@app.command()
def confirm(
    *,
    code_stdin: Annotated[bool, typer.Option("--code-stdin", help="Read the code from stdin.")] = False,
) -> None:
    r"""Confirm the enrolment with a code of your app, and get the recovery codes.

    Examples:
      bankctl auth totp confirm
      printf '%s\n' "$CODE" | bankctl auth totp confirm --code-stdin --query recovery_codes
    """
    with open_bank() as bank:
        _confirm(bank, read_code(from_stdin=code_stdin))


@app.command()
def disable(
    *,
    password_stdin: Annotated[
        bool,
        typer.Option("--password-stdin", help="Read from stdin: the password, then a code, one a line."),
    ] = False,
) -> None:
    """Remove the second factor; needs the password and a code, and ends your other sessions.

    Examples:
      bankctl auth totp disable
    """
    with open_bank() as bank:
        password = read_password(from_stdin=password_stdin)
        bank.auth.remove_totp(password=password, code=read_code(from_stdin=password_stdin))
    messages.success("the second factor is removed")


@app.command()
def lost(*, email: Email = None, password_stdin: PasswordStdin = False) -> None:
    """Have a lost second factor removed: after a wait that its owner can stop, run it again.

    Examples:
      bankctl auth totp lost --email ann@example.com

    A recovery code is quicker: give it where a code is asked for. You are mailed a code that stops the
    removal, and a login with the second factor stops it too. Staff need two administrators instead.
    """
    with open_bank(logged_in=False) as bank:
        address = email or ask("E-mail", option="--email")
        found = bank.auth.report_lost_totp(email=address, password=read_password(from_stdin=password_stdin))
    emit(found, columns=["removable_at", "removed"])
    if found["removed"]:
        messages.success("the second factor is removed; log in with your password")
    else:
        messages.note(f"run the same command again after {found['removable_at']}")


@app.command()
def keep(
    *,
    email: Email = None,
    code_stdin: Annotated[
        bool, typer.Option("--code-stdin", help="Read the code from the mail from stdin.")
    ] = False,
) -> None:
    r"""Stop the removal of your second factor, with the code from the mail that told it.

    Examples:
      bankctl auth totp keep --email ann@example.com
      printf '%s\n' "$CODE" | bankctl auth totp keep --email ann@example.com --code-stdin

    Somebody who began it knows your password: change it then.
    """
    with open_bank(logged_in=False) as bank:
        address = email or ask("E-mail", option="--email")
        bank.auth.keep_totp(email=address, code=read_mailed_code(from_stdin=code_stdin))
    messages.success("the second factor stays; change your password: `bankctl auth change-password`")


def show_qr_code(text: str) -> None:
    """Draw a QR code on the terminal; stdout is left to the result."""
    # Only drawn on a terminal.
    import segno  # noqa: PLC0415

    segno.make(text, error="l", micro=False).terminal(sys.stderr, compact=True)


def _confirm(bank: BankClient, code: str) -> None:
    found = bank.auth.confirm_totp(code=code)
    codes = [{"recovery_code": one} for one in found["recovery_codes"]]
    emit(codes if _as_table() else found, shown_once=True)
    messages.success("the second factor is active")
    messages.note(
        "keep the recovery codes away from your phone; each works once, and they are not shown again"
    )


def _as_table() -> bool:
    return not invocation.current().machine_readable and invocation.current().query is None
