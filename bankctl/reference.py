"""Writes docs/cli.md from the help of every command: `python -m bankctl.reference > docs/cli.md`."""

import sys
from collections.abc import Iterator
from typing import Any

from typer.core import TyperGroup

from bankctl.errors import EXIT_STATUS_MEANINGS
from bankctl.registry import build_root
from bankctl.topics import TEXTS, TOPICS

_WIDTH = 100
_HEAD = """\
# The command line

Generated from the help of each command by `python -m bankctl.reference > docs/cli.md`; a test fails
when it is not up to date. Do not edit it by hand.
"""


def walk(command: Any, name: str = "bankctl", parent: Any = None) -> Iterator[tuple[str, Any]]:
    """Each command of the tree with its full name and the context its help is printed in."""
    settings = {"help_option_names": ["--help", "-h"], **command.context_settings}
    settings.update(terminal_width=_WIDTH, max_content_width=_WIDTH)
    context = command.context_class(command, info_name=name, parent=parent, **settings)
    yield context.command_path, context
    if isinstance(command, TyperGroup):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from walk(found, child, context)


def reference() -> str:
    """The text of docs/cli.md."""
    parts = [_HEAD]
    for path, context in walk(build_root()):
        parts.append(f"## {path}\n\n```text\n{_plain(context.command.get_help(context))}\n```\n")
    parts.append("## Exit statuses\n\n| status | meaning |\n|---|---|")
    parts[-1] += (
        "".join(f"\n| {int(status)} | {text} |" for status, text in EXIT_STATUS_MEANINGS.items()) + "\n"
    )
    for topic, text in TEXTS.items():
        parts.append(f"## {TOPICS[topic].rstrip('.')}\n\n`bankctl help {topic}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.splitlines())


if __name__ == "__main__":
    sys.stdout.write(reference())
