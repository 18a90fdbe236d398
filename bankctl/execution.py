"""Runs one command line: parses it, calls the command, and turns every outcome into an exit status."""

import os
import sys
import traceback
from collections.abc import Sequence

from typer import Abort, Exit, TyperException

from bankctl import invocation
from bankctl.errors import CliError, ExitStatus
from bankctl.invocation import OutputFormat
from bankctl.render import messages

PROGRAM = "bankctl"
COMPLETION_VARIABLE = "_BANKCTL_COMPLETE"


def execute(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status; nothing escapes but SystemExit of completion."""
    _prepare_streams()
    run = invocation.reset()
    _apply_early(run, arguments)
    try:
        return _invoke(list(arguments))
    except Exit as finished:
        return finished.exit_code
    except (KeyboardInterrupt, Abort, EOFError):
        messages.note("interrupted")
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes stdout at exit and would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  # the last line of defence: one line, never a traceback
        problem = _explain(error)
        messages.show_error(problem)
        return problem.exit_status


def _prepare_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A terminal that cannot show a character must not turn a result into an error.
            reconfigure(errors="backslashreplace")


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
        elif name == "--query":
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


def _usage_error(error: TyperException) -> CliError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else PROGRAM
    message = error.format_message().strip()
    if type(error).__name__ == "NoArgsIsHelpError":
        return CliError(
            f"{path} needs a subcommand",
            exit_status=ExitStatus.USAGE,
            hint=f"{path} --help",
            code="usage",
            details={"commands": sorted(context.command.commands)} if context is not None else None,
        )
    message = " ".join(message.split())
    return CliError(message, exit_status=ExitStatus.USAGE, hint=f"{path} --help", code="usage")


def _explain(error: Exception) -> CliError:
    if isinstance(error, CliError):
        return error
    if isinstance(error, TyperException):
        return _usage_error(error)
    debugging = invocation.current().debug
    if debugging:
        traceback.print_exc()
    return CliError(
        f"unexpected {type(error).__name__}: {error}",
        exit_status=ExitStatus.UNEXPECTED,
        hint=None if debugging else "run it again with --debug to see where it happened",
        code="unexpected",
    )
