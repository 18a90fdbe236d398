"""help TOPIC."""

from typing import Annotated

import typer

from bankctl import invocation
from bankctl.errors import EXIT_STATUS_MEANINGS, CliError, ExitStatus
from bankctl.render.output import emit, emit_text
from bankctl.topics import TEXTS, TOPICS


def help_topic(
    topic: Annotated[str | None, typer.Argument(metavar="[TOPIC]", help="One of the topics.")] = None,
) -> None:
    """Explain a topic; without one, list the topics.

    Examples:
      bankctl help
      bankctl help exit-codes
      bankctl help money
    """
    if topic is None:
        rows = [{"topic": name, "about": about} for name, about in TOPICS.items()]
        emit(rows, columns=["topic", "about"])
    elif topic == "exit-codes":
        statuses = [
            {"status": int(status), "meaning": meaning} for status, meaning in EXIT_STATUS_MEANINGS.items()
        ]
        emit(statuses, columns=["status", "meaning"])
    elif topic in TEXTS:
        if invocation.current().machine_readable:
            emit({"topic": topic, "text": TEXTS[topic]})
        else:
            emit_text(TEXTS[topic])
    else:
        raise CliError(
            f"there is no topic {topic!r}",
            exit_status=ExitStatus.USAGE,
            hint="`bankctl help` lists them; for a command: bankctl COMMAND --help",
            code="unknown_topic",
        )
