"""Prints what every route of every daemon answers every kind of caller.

`make docs` writes it to docs/caller-matrix.md; a guard fails when that is not up to date.
"""

import asyncio
import logging
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import structlog

from tests.support.callers import KINDS, Callers, routes
from tests.support.mongo import running_mongod
from tests.support.whole_bank import running_whole_bank

_HEAD = """# Who is let in where

Asked of the real daemons by `make docs`; a test repeats it and fails if the handwritten list
(`tests/support/may_call.py`) or this page differs.

Each cell is the status of a well-formed request. 401 and 403 are the guards' refusals; a star marks one that
comes from the handler (a wrong password, a wrong code). Other 4xx mean that the caller was let in, but the
object did not exist or was in the wrong state. The owner owns the account and the transaction that routes
name; the operator's key has the scope `use_own_accounts` only; the columns right of *nobody* have a token
with one defect. `POST /auth/refresh` needs a refresh token, which nobody here sends.

"""
_GUARDS = {"not_signed_in", "session_ended", "forbidden", "scope_missing", "second_factor_required"}


def as_markdown(answers: Mapping[tuple[str, str, str], tuple[int, str]]) -> str:
    """Return the table."""
    lines = [
        "| route | permission | " + " | ".join(kind.name for kind in KINDS) + " |",
        "|---" * (len(KINDS) + 2) + "|",
    ]
    for daemon, route in routes():
        cells = [_cell(*answers[route.method, route.path, kind.name]) for kind in KINDS]
        lines.append(
            f"| {daemon} `{route.method} {route.path}` | {route.permission.value} | {' | '.join(cells)} |"
        )
    return _HEAD + "\n".join(lines) + "\n"


def _cell(status: int, code: str) -> str:
    return f"{status}*" if status in {401, 403} and code not in _GUARDS else str(status)


async def main() -> None:
    """Ask and print."""
    # Standard output belongs to the table, and refusals are what is asked for.
    structlog.configure(
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
    )
    with tempfile.TemporaryDirectory() as folder, running_mongod(Path(folder)) as uri:
        async with running_whole_bank(uri) as whole:
            callers = Callers(whole)
            await callers.prepare()
            answers = {
                (route.method, route.path, kind.name): await callers.call(daemon, route, kind)
                for daemon, route in routes()
                for kind in KINDS
            }
    sys.stdout.write(as_markdown(answers))


if __name__ == "__main__":
    asyncio.run(main())
