"""Questions to the person at the terminal; never asked without one.

One rule holds for everything that moves money or is hard to undo: `confirm` asks on a terminal. Without one,
or with --no-input, it is refused unless --yes or BANKCTL_YES gave the consent beforehand.
"""

import sys
from collections.abc import Callable
from typing import TypeVar

from bankctl import invocation
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.invocation import YES_VARIABLE
from bankctl.render.messages import styled
from daemons.contracts.names import Code

AnswerT = TypeVar("AnswerT")


def read_password(*, from_stdin: bool, label: str = "Password", confirm: bool = False) -> str:
    """A password: one line of stdin, or typed without an echo. Never an option, which others can see.

    Raises:
        CliError: there is no terminal to ask on and no `--password-stdin`, or the repetition differs.
    """
    if from_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise usage_error("stdin holds no password", hint="printf '%s\\n' \"$PASSWORD\" | bankctl ...")
        return password
    if not invocation.current().interactive:
        raise usage_error(
            f"the {label.lower()} is needed and there is no terminal to ask on",
            hint="pass it on stdin with --password-stdin",
            code="no_terminal",
        )
    # Only asked on a terminal.
    from getpass import getpass  # noqa: PLC0415

    password = getpass(f"{label}: ", stream=sys.stderr)
    if confirm and getpass(f"{label} again: ", stream=sys.stderr) != password:
        raise usage_error("the two are different", code="passwords_differ")
    return password


def read_code(*, from_stdin: bool) -> str:
    """A code of the second factor, which is worth nothing once it is used: a line of stdin, or typed.

    Raises:
        CliError: there is no terminal to ask on, or stdin holds none.
    """
    if not from_stdin:
        return ask("Code from your app, or a recovery code", option="a code of the second factor")
    return _line_of_stdin("code of the second factor", '"$PASSWORD" "$CODE"', code=Code.TOTP_REQUIRED)


def with_code_if_asked(act: Callable[..., AnswerT], *, from_stdin: bool) -> AnswerT:
    """Carry out what takes a code of the second factor as `totp`, with one only if the bank asks for it.

    Raises:
        CliError: the act was refused, or no code can be had.
    """
    try:
        return act()
    except CliError as error:
        if error.code != Code.TOTP_REQUIRED:
            raise
    return act(totp=read_code(from_stdin=from_stdin))


def read_mailed_code(*, from_stdin: bool) -> str:
    """A code from a mail: a line of stdin, or typed. It works once.

    Raises:
        CliError: there is no terminal to ask on, or stdin holds none.
    """
    if not from_stdin:
        return ask("Code from the mail", option="the code from the mail")
    return _line_of_stdin("code from the mail", '"$CODE" "$PASSWORD"', code="no_mailed_code")


def _line_of_stdin(what: str, lines: str, *, code: str) -> str:
    line = sys.stdin.readline().strip()
    if not line:
        hint = f"printf '%s\\n' {lines} | bankctl ..."
        raise usage_error(f"stdin holds no {what}", hint=hint, code=code)
    return line


def ask(label: str, *, option: str) -> str:
    """A line of text that the command needs and was not given as `option`.

    Raises:
        CliError: there is no terminal to ask on.
    """
    if not invocation.current().interactive:
        raise usage_error(f"{option} is needed", code="usage")
    answer = ""
    while not answer:
        sys.stderr.write(f"{label}: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        answer = line.strip()
    return answer


def will_ask() -> bool:
    """Whether `confirm` asks a question."""
    run = invocation.current()
    return run.interactive and not run.consented


def require_consent() -> None:
    """Refuse what would be confirmed if there is neither consent nor a terminal to ask on.

    Commands call it before they contact the bank or read a file; `confirm` calls it as well.

    Raises:
        CliError: nobody agreed and nobody can be asked.
    """
    run = invocation.current()
    if not run.consented and not run.interactive:
        why = "--no-input forbids the question" if run.no_input else "there is no terminal to ask on"
        raise usage_error(
            f"this needs confirmation and {why}; nothing was done",
            hint=f"add --yes; in scripts {YES_VARIABLE}=1 does the same (see `bankctl help scripts`)",
            code="confirmation_needed",
        )


def confirm(question: str) -> None:
    """Go on only with the person's consent: given beforehand, or now as the answer to the question.

    Raises:
        CliError: the person said no, or nobody agreed and nobody can be asked.
    """
    require_consent()
    if not will_ask():
        return
    sys.stderr.write(f"{styled(question, 'bold', sys.stderr)} [y/N] ")
    sys.stderr.flush()
    line = sys.stdin.readline()
    if line.strip().lower() not in {"y", "yes"}:
        raise CliError("nothing was done", exit_status=ExitStatus.INTERRUPTED, code="declined", hint=None)
