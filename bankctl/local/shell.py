"""What is done in the server's own shell, with the environment of a stack's daemon."""

import json
import os
import subprocess
import sys
from typing import Any

from bankctl.errors import CliError, ExitStatus
from bankctl.local.control import command
from bankctl.local.stack import Stack


def create_user(
    stack: Stack, *, email: str, display_name: str, role: str, password: str, one_time: bool = False
) -> dict[str, Any]:
    """Make a user with a role and return it; the password goes by stdin, so no process list shows it.

    Raises:
        CliError: the user service refuses, or its database does not answer.
    """
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "daemons.user_api", "create-user"),
            *("--email", email, "--display-name", display_name, "--role", role),
            *(["--one-time"] if one_time else []),
        ],
        env={**os.environ, **stack.environment("user_api")},
        input=password + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode:
        said = answer.stderr.strip()
        raise CliError(
            f"the user was not created: {said.splitlines()[-1] if said else 'no reason was given'}",
            exit_status=ExitStatus.UNEXPECTED,
            hint=f"fix what it reports; the stack must run: {command(stack.layout, 'status')}",
            code="user_not_made",
            details={"output": said[-2000:]},
        )
    made: dict[str, Any] = json.loads(answer.stdout)
    return made
