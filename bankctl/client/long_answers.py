"""Answers that take long: the bank sends lines of progress, and as the last one the result."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bankctl.client.http import ATTEMPTS, Transport
from bankctl.client.problems import error_from_problem
from bankctl.errors import CliError, ExitStatus
from daemons.contracts.names import JSON_LINES, REQUEST_ID_HEADER

OnProgress = Callable[[str, int, int], None]
"""Receives the phase, how much of it is done, and the estimated total."""

# The bank sends a line every half second; so long a silence is a lost line.
_SILENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.5


def fetch_with_progress(
    http: Transport,
    path: str,
    *,
    on_progress: OnProgress,
    params: Mapping[str, Any] | None = None,
    body: object = None,
) -> dict[str, Any]:
    """Ask for something that takes long; before the first line it is asked again if the bank is away.

    With a body it is posted, and must be something that may be done twice.

    Raises:
        CliError: the bank refused it or could not do it, or the line was cut before the result: what came
            until then says nothing.
    """
    seen: list[bool] = []

    def tell(phase: str, done: int, total: int) -> None:
        seen.append(True)
        on_progress(phase, done, total)

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _fetch(http, path, tell, params or {}, body)
        except CliError as error:
            if seen or attempt == ATTEMPTS or error.exit_status is not ExitStatus.UNREACHABLE:
                raise
        time.sleep(_PAUSE_SECONDS * attempt)
    raise AssertionError("the last attempt returns or raises")


def _fetch(
    http: Transport, path: str, tell: OnProgress, params: Mapping[str, Any], body: object
) -> dict[str, Any]:
    headers = {"Accept": f"{JSON_LINES}, application/json;q=0.5"}
    with http.stream(
        path, params=params, headers=headers, idle_seconds=_SILENCE_SECONDS, body=body
    ) as response:
        if not response.headers.get("Content-Type", "").startswith(JSON_LINES):
            response.read()
            return _object(response.text)
        for line in _lines(response.iter_lines()):
            if "result" in line:
                result: dict[str, Any] = line["result"]
                return result
            if "problem" in line:
                raise error_from_problem(line["problem"], response.headers.get(REQUEST_ID_HEADER))
            progress = line["progress"]
            tell(str(progress["phase"]), int(progress["done"]), int(progress["total"]))
    raise CliError(
        f"the connection was lost before {path} was answered; the partial answer proves nothing",
        exit_status=ExitStatus.UNREACHABLE,
        hint="run it again; `bankctl doctor` shows what is wrong",
        code="line_cut",
    )


def _lines(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        if line:
            yield _object(line)


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise CliError(
            "the answer cannot be read; is this really the bank's gateway?",
            exit_status=ExitStatus.UNEXPECTED,
            hint="`bankctl doctor` compares versions",
            code="not_json",
        )
    return found
