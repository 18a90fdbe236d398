"""Runs one command line: parses it, calls the command, and turns every outcome into an exit status."""

import os
import re
import traceback
from collections.abc import Sequence

from typer import Abort, Exit, TyperException

from bankctl import invocation, streams
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.invocation import OutputFormat
from bankctl.render import messages

PROGRAM = "bankctl"
COMPLETION_VARIABLE = "_BANKCTL_COMPLETE"
# The parser takes these for options.
_NEGATIVE = re.compile(r"-[0-9.,]+")


def execute(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status; nothing escapes but SystemExit of completion."""
    with streams.guarded():
        run = invocation.reset()
        _apply_early(run, arguments)
        status = _status_of(list(arguments))
        return _conclude(run) if status == ExitStatus.OK else status


def _status_of(arguments: list[str]) -> int:
    try:
        _require_utf8(arguments)
        return _invoke(arguments)
    except Exit as finished:
        return finished.exit_code
    except (KeyboardInterrupt, Abort, EOFError):
        messages.note("interrupted")
        return ExitStatus.INTERRUPTED
    except streams.ReaderGoneError:
        return ExitStatus.OK
    except Exception as error:  # noqa: BLE001  # the last line of defence: one line, never a traceback
        problem = _explain(error, arguments)
        messages.show_error(problem)
        return problem.exit_status


def _conclude(run: invocation.Invocation) -> int:
    """The status of a command that did what was asked for: whether its result reached anybody."""
    lost = streams.lost_output()
    if isinstance(lost, BrokenPipeError) and not run.acted:
        return ExitStatus.BROKEN_PIPE
    if lost is not None:
        why = f"the result could not be written to stdout: {lost.strerror}"
    elif run.not_printed is not None:
        why = f"the whole result was printed instead of a part of it: {run.not_printed}"
    else:
        return ExitStatus.OK
    error = CliError(
        f"it was done, but {why}" if run.acted else why,
        exit_status=ExitStatus.NOT_PRINTED,
        hint="do not run it again: the result stands above" if run.acted else None,
        code="result_not_printed",
    )
    messages.show_error(error)
    return error.exit_status


def _require_utf8(arguments: Sequence[str]) -> None:
    """Refuse arguments that are not valid text; Python represents such bytes by lone surrogates."""
    for number, argument in enumerate(arguments, 1):
        try:
            argument.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(argument).decode("utf-8", "backslashreplace")
            raise usage_error(
                f"argument {number} is not UTF-8: {shown}",
                hint="set the terminal, or the script that wrote it, to UTF-8",
                code="not_utf8",
            ) from None


def _apply_early(run: invocation.Invocation, arguments: Sequence[str]) -> None:
    """Take note of how results are wanted before parsing, so that a parse error obeys `-o json` too."""
    following = [*arguments[1:], ""]
    for argument, value in zip(arguments, following, strict=False):
        if argument == "--":
            return
        name, _, attached = argument.partition("=")
        if argument in {"-o", "--output"}:
            wanted = value
        elif name == "--output":
            wanted = attached
        elif argument.startswith("-o"):
            wanted = argument[2:]
        elif name == "--query" or argument in {"-r", "--raw"}:
            wanted = OutputFormat.JSON
        elif argument == "--no-color":
            run.no_color = True
            continue
        else:
            continue
        if wanted in set(OutputFormat):
            run.output = OutputFormat(wanted)


def _invoke(arguments: list[str]) -> int:
    from bankctl.registry import build_root  # noqa: PLC0415  # not needed to show an error

    root = build_root()
    if COMPLETION_VARIABLE in os.environ:
        # typer knows the shells only after this.
        from typer._completion_classes import completion_init  # noqa: PLC0415

        completion_init()
        root.main(args=arguments, prog_name=PROGRAM, complete_var=COMPLETION_VARIABLE)
    with root.make_context(PROGRAM, arguments or ["--help"]) as context:
        outcome = root.invoke(context)
    return outcome if isinstance(outcome, int) else ExitStatus.OK


def _usage_error(error: TyperException, arguments: Sequence[str]) -> CliError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    message = error.format_message().strip()
    if type(error).__name__ == "NoArgsIsHelpError":
        return CliError(
            f"{path} needs a subcommand",
            exit_status=ExitStatus.USAGE,
            hint=f"`{path} --help`",
            code="usage",
            details={"commands": sorted(context.command.commands)} if context is not None else None,
        )
    negative = next((item for item in arguments if _NEGATIVE.fullmatch(item)), None)
    if negative is not None and type(error).__name__ == "NoSuchOption":
        return usage_error(
            f"{negative} is negative: amounts and numbers are positive",
            hint=f"`{path} --help`",
            code="negative_number",
        )
    message = " ".join(message.split())
    return CliError(message, exit_status=ExitStatus.USAGE, hint=f"`{path} --help`", code="usage")


def _explain(error: Exception, arguments: Sequence[str]) -> CliError:
    if isinstance(error, CliError):
        return error
    if isinstance(error, TyperException):
        return _usage_error(error, arguments)
    debugging = invocation.current().debug
    if debugging:
        traceback.print_exc()
    if isinstance(error, OSError) and error.filename is not None:
        return _unusable(error)
    return CliError(
        f"unexpected {type(error).__name__}: {error}",
        exit_status=ExitStatus.UNEXPECTED,
        hint=None if debugging else "run it again with --debug to see where it happened",
        code="unexpected",
    )


def _unusable(error: OSError) -> CliError:
    """The error of a file or folder that the system refuses: a full disk, a folder where a file should be."""
    fault = f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}"
    acted = invocation.current().acted
    return CliError(
        f"it was done, but {fault}" if acted else fault,
        exit_status=ExitStatus.NOT_PRINTED if acted else ExitStatus.USAGE,
        hint="fix its permissions or free some space; `bankctl help files` shows what is stored where",
        code="unusable_path",
    )
