"""What the audit trail costs a sign-in: `python -m tests.evidence.sign_in_rate`.

Signs 50 people in at the same time, again and again, at two daemons on one real MongoDB, in turns: one as it
is, and one whose trail is not written. Prints rates and times of both and their ratio. Exits 1 if a sign-in
was refused or the chain does not hold. It measures time, so it is no part of `make test`.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from daemons.shared.audit.record import AuditEntry
from daemons.shared.audit.verify import verify_trail
from daemons.shared.mongo import Session
from tests.support.mongo import running_mongod
from tests.support.user_api import PASSWORD, UserApi, running_user_api

PEOPLE = 50
_STATUS_OK = 200


@dataclass
class Daemon:
    """One of the two, and what was measured of it."""

    name: str
    api: UserApi
    emails: list[str] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    refused: int = 0

    async def sign_in(self, email: str) -> None:
        """Sign one person in."""
        started = time.perf_counter()
        answer = await self.api.call("POST", "/auth/login", {"email": email, "password": PASSWORD})
        self.seconds.append(time.perf_counter() - started)
        self.refused += answer.status_code != _STATUS_OK

    async def round(self) -> None:
        """Sign everybody in at once."""
        started = time.perf_counter()
        await asyncio.gather(*(self.sign_in(email) for email in self.emails))
        self.rates.append(len(self.emails) / (time.perf_counter() - started))

    def line(self) -> str:
        """Say what was measured."""
        ordered = sorted(self.seconds)
        return (
            f"{self.name:<16} {statistics.median(self.rates):6.1f} sign-ins/s   "
            f"p50 {_at(ordered, 0.5):4.0f} ms   p99 {_at(ordered, 0.99):4.0f} ms   "
            f"longest {ordered[-1] * 1000:4.0f} ms   {len(ordered)} sign-ins, {self.refused} refused"
        )


async def measure(mongo_uri: str, rounds: int, workers: int) -> tuple[Daemon, Daemon, bool]:
    """Return both daemons, the one without a trail first, and whether the other's chain holds."""
    async with AsyncExitStack() as stack:
        daemons = [
            Daemon(
                name,
                await stack.enter_async_context(
                    running_user_api(mongo_uri, database, hashing_workers=workers)
                ),
            )
            for name, database in (("no audit trail", "rate_bare"), ("audit trail", "rate_audited"))
        ]
        bare, audited = daemons

        async def nothing(_entries: Sequence[AuditEntry], *, session: Session) -> None:
            """Stand in for the trail that is left out."""

        vars(bare.api.audit)["append"] = nothing
        for daemon in daemons:
            daemon.emails = [(await daemon.api.register())["email"] for _ in range(PEOPLE)]
            await daemon.round()
            daemon.rates.clear()
            daemon.seconds.clear()
        for number in range(rounds):
            for daemon in daemons if number % 2 else reversed(daemons):
                await daemon.round()
        holds = (await verify_trail(audited.api.audit)).holds
    return bare, audited, holds


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[int(share * (len(ordered) - 1))] * 1000


def main() -> int:
    """Measure, print the figures, and tell by the exit status whether all were let in and recorded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2, help="threads that hash, 2 as in production")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory() as folder, running_mongod(Path(folder)) as mongo_uri:
        bare, audited, holds = asyncio.run(measure(mongo_uri, options.rounds, options.workers))
    ratios = [one / other for one, other in zip(audited.rates, bare.rates, strict=True)]
    lines = [
        f"{PEOPLE} sign-ins at a time, {options.rounds} rounds in turns, {options.workers} hashing threads",
        bare.line(),
        audited.line(),
        f"rate with to without the trail: {statistics.median(ratios):.2f}",
        "the chain holds" if holds else "the chain DOES NOT HOLD",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(bool(bare.refused or audited.refused or not holds))


if __name__ == "__main__":
    sys.exit(main())
