"""completion SHELL."""

from enum import StrEnum
from typing import Annotated

import typer

from bankctl.execution import COMPLETION_VARIABLE, PROGRAM
from bankctl.render.output import emit_text


class Shell(StrEnum):
    """Shells that completion exists for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> None:
    """Print the script that makes your shell complete commands and options.

    Examples:
      bankctl completion bash >> ~/.bashrc
      bankctl completion zsh > ~/.zfunc/_bankctl
      bankctl completion fish > ~/.config/fish/completions/bankctl.fish
    """
    # Slow to load, and only this command needs it.
    from typer._completion_shared import get_completion_script  # noqa: PLC0415

    emit_text(get_completion_script(prog_name=PROGRAM, complete_var=COMPLETION_VARIABLE, shell=shell))
