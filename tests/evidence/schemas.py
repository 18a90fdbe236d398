"""Sends what Schemathesis makes of each daemon's OpenAPI document, well-formed and not, to the real daemon.

`python -m tests.evidence.schemas --cases 5000` prints per daemon how many cases were sent and what was
answered; it exits 1 if anything was answered with a 5xx.
"""

import argparse
import asyncio
import math
import sys
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import schemathesis
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode

from daemons.shared.auth.service_tokens import SERVICE_TOKEN_HEADER, ServiceTokens
from tests.support.callers import Callers
from tests.support.mongo import running_mongod
from tests.support.whole_bank import UNLIMITED, WholeBank, running_whole_bank

# These end the session that the cases are sent with; the stream of events does not end at all.
_LEFT_OUT = ("/auth/logout", "/auth/sessions", "/auth/change-password", "/auth/totp")
_STREAM = "/events"
_TIMEOUT_SECONDS = 60
_STATUS_SERVER_ERROR = 500


@dataclass
class Answered:
    """What one daemon answered to the cases made of its document."""

    statuses: Counter[int] = field(default_factory=Counter)
    server_errors: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """How many were sent."""
        return sum(self.statuses.values())


async def exercise(whole: WholeBank, callers: Callers, daemon: str, *, cases: int) -> Answered:
    """Send at least so many cases to one daemon, spread over its operations."""
    origin = whole.origins[daemon]
    document = (await whole.bank.http.get(f"{origin}/openapi.json")).json()
    headers = {"X-Requested-With": "tests", **callers.person("admin").headers}
    service = ServiceTokens(whole.secret, name="notifier").header_for(daemon)
    return await asyncio.to_thread(_exercise, document, origin, headers, service, cases)


def _exercise(
    document: dict[str, Any], origin: str, headers: dict[str, str], service: dict[str, str], cases: int
) -> Answered:
    schema = schemathesis.openapi.from_dict(document)
    operations = [
        operation
        for operation in (result.ok() for result in schema.get_all_operations())
        if not operation.path.startswith(_LEFT_OUT) and operation.path != _STREAM
    ]
    answered = Answered()
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    each = math.ceil(cases / len(operations) / len(modes))
    with requests.Session() as session:
        session.trust_env = False
        for operation in operations:
            internal = operation.path.startswith("/internal/")
            sent = {**headers, **(service if internal else {SERVICE_TOKEN_HEADER: None})}
            for mode in modes:
                _send(operation, mode, each, origin, sent, session, answered)
    return answered


def _send(
    operation: Any,
    mode: GenerationMode,
    examples: int,
    origin: str,
    headers: dict[str, Any],
    session: requests.Session,
    answered: Answered,
) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Any) -> None:
        response = case.call(
            base_url=origin, headers=headers, session=session, timeout=_TIMEOUT_SECONDS, allow_redirects=False
        )
        answered.statuses[response.status_code] += 1
        if response.status_code >= _STATUS_SERVER_ERROR:
            answered.server_errors.append(
                f"{case.as_curl_command()}\n{response.status_code} {response.text[:300]}"
            )

    with warnings.catch_warnings():
        # What Hypothesis thinks of its own strategies is no fault of ours.
        warnings.simplefilter("ignore")
        try:
            run()
        except Exception as error:
            # Nothing can be spoiled in an operation that takes nothing.
            if type(error).__name__ not in {"Unsatisfiable", "SkipTest", "Skipped"}:
                raise


async def _main(cases: int) -> int:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    failed = 0
    with tempfile.TemporaryDirectory() as folder, running_mongod(Path(folder)) as uri:
        async with running_whole_bank(uri, UNLIMITED) as whole:
            callers = Callers(whole)
            await callers.prepare()
            for daemon in whole.origins:
                answered = await exercise(whole, callers, daemon, cases=cases)
                statuses = ", ".join(
                    f"{status}: {count}" for status, count in sorted(answered.statuses.items())
                )
                errors = len(answered.server_errors)
                sys.stdout.write(f"{daemon}: {answered.cases} cases, {errors} server errors ({statuses})\n")
                sys.stdout.write("".join(f"{error}\n" for error in answered.server_errors[:5]))
                failed += errors
    return int(failed > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000, help="at least so many for each daemon")
    sys.exit(asyncio.run(_main(parser.parse_args().cases)))
