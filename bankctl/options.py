"""The global options, accepted before and after every subcommand."""

from collections.abc import Callable
from enum import Enum
from math import inf
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bankctl import __version__, invocation
from bankctl.invocation import OutputFormat

EPILOG = (
    "Global options (--profile, -o/--output, --query, -r/--raw, --yes, --no-input, --quiet, --debug, "
    "--no-color, --reason) work before and after the command; `bankctl --help` explains them."
)


def _setter(name: str) -> Callable[[Any], Any]:
    def store(value: Any) -> Any:
        # Absent options come as None or False and must not undo what stood before the subcommand.
        if value is not None and value is not False:
            if name == "query":
                # Only --query needs it.
                from bankctl.render.query import check_query  # noqa: PLC0415

                check_query(value)
            setattr(invocation.current(), name, value)
            if name in {"query", "raw"} and invocation.current().output is not OutputFormat.JSONL:
                invocation.current().output = OutputFormat.JSON
        return value

    return store


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"bankctl {__version__}")
        raise typer.Exit


def _option(name: str, *declarations: str, help_text: str, **settings: Any) -> Any:
    return typer.Option(
        *declarations, callback=_setter(name), expose_value=False, is_eager=True, help=help_text, **settings
    )


def _declare(
    *,
    profile: Annotated[
        str | None,
        _option(
            "profile",
            "--profile",
            help_text="The bank to talk to (see `bankctl config list`).",
            metavar="NAME",
        ),
    ] = None,
    output: Annotated[
        OutputFormat | None,
        _option("output", "--output", "-o", help_text="How results are written to stdout."),
    ] = None,
    query: Annotated[
        str | None,
        _option(
            "query",
            "--query",
            help_text="Select from the result with JMESPath; implies -o json.",
            metavar="JMESPATH",
        ),
    ] = None,
    raw: Annotated[
        bool,
        _option(
            "raw", "--raw", "-r", help_text="Print strings without quotes, one a line; goes with --query."
        ),
    ] = False,
    yes: Annotated[
        bool,
        _option("yes", "--yes", "-y", help_text="Answer every question with yes (BANKCTL_YES=1)."),
    ] = False,
    no_input: Annotated[bool, _option("no_input", "--no-input", help_text="Never ask anything.")] = False,
    quiet: Annotated[bool, _option("quiet", "--quiet", "-q", help_text="Results and errors only.")] = False,
    debug: Annotated[
        bool, _option("debug", "--debug", help_text="Show requests, and where an unexpected error happened.")
    ] = False,
    no_color: Annotated[
        bool, _option("no_color", "--no-color", help_text="No colour (as NO_COLOR does).")
    ] = False,
    reason: Annotated[
        str | None,
        _option(
            "reason",
            "--reason",
            help_text="Why staff read a customer's data; holds for an hour.",
            metavar="WHY",
        ),
    ] = None,
) -> None:
    """Carries the declarations; never called."""


def _version_option(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            expose_value=False,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Carries the declaration; never called."""


def _parameters_of(declaration: Callable[..., None]) -> list[Any]:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(declaration)
    return list(typer.main.get_command(app).params)


def global_parameters(*, hidden: bool) -> list[Any]:
    """The global options as parameters of a command; hidden ones work and are not listed in its help."""
    parameters = _parameters_of(_declare)
    for parameter in parameters:
        parameter.hidden = hidden
        lighten(parameter)
    return parameters


def version_parameters() -> list[Any]:
    """The option `--version` of the whole program."""
    parameters = _parameters_of(_version_option)
    for parameter in parameters:
        lighten(parameter)
    return parameters


def complete_command(command: Any) -> Any:
    """Give a command, and all below it, the global options and the one form of help."""
    for parameter in command.params:
        lighten(parameter)
    own = next((parameter for parameter in command.params if parameter.name == "reason"), None)
    if own is not None:
        # What is given for an act explains what is read for it.
        own.callback = lambda _context, _parameter, value: _setter("reason")(value)
    command.params.extend(
        parameter for parameter in global_parameters(hidden=True) if own is None or parameter.name != "reason"
    )
    command.rich_markup_mode = None
    command.epilog = command.epilog or EPILOG
    command.help = keep_examples(command.help or "")
    command.short_help = command.short_help or command.help.split("\n\n")[0].removeprefix("\b\n")
    command.context_settings.setdefault("help_option_names", ["--help", "-h"])
    command.context_settings.setdefault("max_content_width", 100)
    lighten_help(command)
    if isinstance(command, TyperGroup):
        command.no_args_is_help = not command.invoke_without_command
        for child in command.commands.values():
            complete_command(child)
    return command


def keep_examples(text: str) -> str:
    """Mark each paragraph with indented lines so that help prints its lines as they are."""
    paragraphs = text.replace("\b\n", "").split("\n\n")
    return "\n\n".join(
        f"\b\n{paragraph}" if any(line.startswith(" ") for line in paragraph.splitlines()) else paragraph
        for paragraph in paragraphs
    )


class _PlainCoercion:
    """Turns the text of an argument into its type as typer would, without loading pydantic for it.

    typer builds a pydantic adapter for each parameter; importing pydantic costs more time than the whole
    rest of a command. Only types that `_convert` knows are taken over.
    """

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:
        """The value as the parameter's type; None stays None."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if isinstance(value, list | tuple):
            return [self._convert(item, param, ctx) for item in value]
        return self._convert(value, param, ctx)

    def _convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if isinstance(value, self.annotation):
            return value
        # A flag has no text; only an environment variable could give it one, and none does.
        if self.annotation is bool:
            raise typer.BadParameter(self._expectation(value), ctx=ctx, param=param)
        try:
            found = self.annotation(value)
        except ValueError as error:
            raise typer.BadParameter(self._expectation(value), ctx=ctx, param=param) from error
        # All such numbers are lengths of time.
        if self.annotation is float and not 0 <= found < inf:
            raise typer.BadParameter(self._expectation(value), ctx=ctx, param=param)
        return found

    def _expectation(self, value: Any) -> str:
        if issubclass(self.annotation, Enum):
            choices = ", ".join(repr(str(choice.value)) for choice in self.annotation)
            return f"{value!r} is not one of {choices}"
        kinds = {int: "whole number", float: "number of seconds", bool: "flag"}
        return f"{value!r} is not a {kinds.get(self.annotation, 'value')}"


def lighten_help(command: Any) -> None:
    """Let the option --help, which typer makes by itself, do without pydantic."""
    context = command.context_class(command, **command.context_settings)
    lighten(command.get_help_option(context))


def lighten(parameter: Any) -> None:
    """Let a parameter of a plain type do without pydantic."""
    descriptor = getattr(parameter, "type_descriptor", None)
    annotation = getattr(descriptor, "annotation", None)
    ranged = getattr(parameter, "min", None) is not None or getattr(parameter, "max", None) is not None
    arguments = getattr(annotation, "__args__", None)
    if getattr(annotation, "__origin__", None) is list and arguments:
        annotation = arguments[0]
    plain = annotation in {str, int, float, bool, Path} or (
        isinstance(annotation, type) and issubclass(annotation, Enum)
    )
    if plain and not ranged:
        parameter._runtime_param = _PlainCoercion(annotation)  # noqa: SLF001  # typer has no public way
