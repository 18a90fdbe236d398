"""Sends what Schemathesis makes of each daemon's OpenAPI document, well-formed and not, to the real daemon.

`python -m tests.evidence.schemas --cases 5000` prints per daemon how many cases were sent and what was
answered; it exits 1 if anything was answered with a 5xx. It sends the same cases each time unless a `--seed`
asks for others.
"""

import argparse
import asyncio
import logging
import math
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
import schemathesis
import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode

from daemons.shared.auth.service_tokens import SERVICE_TOKEN_HEADER
from daemons.shared.http.openapi import describe
from tests.evidence.exercised import exercised
from tests.evidence.expendable import Expendables
from tests.support.bank import Person
from tests.support.callers import Callers, sign_in_again
from tests.support.daemon_keys import calls_of
from tests.support.mongo import running_mongod
from tests.support.whole_bank import UNLIMITED, WholeBank, running_whole_bank

_MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
_TIMEOUT_SECONDS = 60
_STATUS_SERVER_ERROR = 500
_ENDED = frozenset({"not_signed_in", "session_ended"})


@dataclass
class Answered:
    """What one daemon answered to the cases made of its document."""

    statuses: Counter[int] = field(default_factory=Counter)
    operations: Counter[tuple[str, str]] = field(default_factory=Counter)
    server_errors: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """How many were sent."""
        return sum(self.statuses.values())


@dataclass(frozen=True)
class _Sender:
    """Sends the cases of one daemon from a thread of its own, as whoever each operation is for."""

    origin: str
    session: requests.Session
    loop: asyncio.AbstractEventLoop
    answered: Answered

    def send(self, case: Any, headers: Mapping[str, Any], expendable: Person | None) -> None:
        """Send one case; somebody whose session it has ended gets another one."""
        if expendable is not None:
            headers = {**headers, **expendable.headers}
        how = case.as_transport_kwargs(base_url=self.origin, headers=headers)
        # A stream of events does not end, so no more of an answer is read than is looked at.
        with self.session.request(**how, timeout=_TIMEOUT_SECONDS, stream=True, allow_redirects=False) as got:
            self.answered.statuses[got.status_code] += 1
            self.answered.operations[case.operation.method.upper(), case.operation.path] += 1
            if got.status_code >= _STATUS_SERVER_ERROR:
                told = f"{case.as_curl_command()}\n{got.status_code} {got.text[:300]}"
                self.answered.server_errors.append(told)
            if expendable is not None and _is_ended(got):
                again = asyncio.run_coroutine_threadsafe(sign_in_again(expendable), self.loop)
                again.result(_TIMEOUT_SECONDS)


def _is_ended(answer: requests.Response) -> bool:
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        return answer.json()["code"] in _ENDED
    return answer.status_code == HTTPStatus.NO_CONTENT


async def exercise(
    whole: WholeBank, callers: Callers, daemon: str, *, cases: int, drawn_by: int | None = None
) -> Answered:
    """Send at least so many cases to one daemon, spread over its operations.

    Without a seed (`drawn_by`) they are the same each time.
    """
    origin, answered = whole.origins[daemon], Answered()
    own = [route for name, route in exercised() if name == daemon]
    # With the routes among daemons, too, which no daemon publishes.
    document = describe(daemon, "0", own)
    expendables = Expendables(whole.bank)
    await expendables.prepare()
    routes = {(route.method, route.path): expendables.of(route) for route in own}
    ordinary = {"X-Requested-With": "tests", **callers.person("admin").headers}
    service = calls_of("notifier").header_for(daemon)

    def run() -> None:
        schema = schemathesis.openapi.from_dict(document)
        found = [result.ok() for result in schema.get_all_operations()]
        operations = [one for one in found if (one.method.upper(), one.path) in routes]
        each = math.ceil(cases / len(operations) / len(_MODES))
        with requests.Session() as session:
            session.trust_env = False
            sender = _Sender(origin, session, loop, answered)
            for operation in operations:
                expendable = routes[operation.method.upper(), operation.path]
                internal = operation.path.startswith("/internal/")
                headers = {**ordinary, **(service if internal else {SERVICE_TOKEN_HEADER: None})}
                for mode in _MODES:
                    _send(operation, mode, each, drawn_by, sender, headers, expendable and expendable.person)

    loop = asyncio.get_running_loop()
    await asyncio.to_thread(run)
    return answered


def _send(
    operation: Any,
    mode: GenerationMode,
    examples: int,
    drawn_by: int | None,
    sender: _Sender,
    headers: Mapping[str, Any],
    expendable: Person | None,
) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=drawn_by is None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        sender.send(case, headers, expendable)

    if drawn_by is not None:
        run = seed(drawn_by)(run)
    with warnings.catch_warnings():
        # What Hypothesis thinks of its own strategies is no fault of ours.
        warnings.simplefilter("ignore")
        try:
            run()
        except Exception as error:
            # Nothing can be spoiled in an operation that takes nothing.
            if type(error).__name__ not in {"Unsatisfiable", "SkipTest", "Skipped"}:
                raise


async def _main(cases: int, drawn_by: int | None) -> int:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    # There is no Kafka here on purpose; its client would say so all the time.
    logging.disable()
    failed = 0
    with tempfile.TemporaryDirectory() as folder, running_mongod(Path(folder)) as uri:
        async with running_whole_bank(uri, UNLIMITED) as whole:
            callers = Callers(whole)
            await callers.prepare()
            for daemon in whole.origins:
                answered = await exercise(whole, callers, daemon, cases=cases, drawn_by=drawn_by)
                statuses = ", ".join(
                    f"{status}: {count}" for status, count in sorted(answered.statuses.items())
                )
                errors = len(answered.server_errors)
                sys.stdout.write(
                    f"{daemon}: {answered.cases} cases to {len(answered.operations)} operations, "
                    f"{errors} server errors ({statuses})\n"
                )
                sys.stdout.write("".join(f"{error}\n" for error in answered.server_errors[:5]))
                failed += errors
    return int(failed > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000, help="at least so many for each daemon")
    parser.add_argument("--seed", type=int, default=None, help="draw other cases than those sent by default")
    options = parser.parse_args()
    sys.exit(asyncio.run(_main(options.cases, options.seed)))
