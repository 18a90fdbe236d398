"""Sends bad input of every class to every route of the three real daemons, over raw loopback sockets.

`python -m tests.evidence.fuzz --requests 200000 [--seed N]` prints what each class was answered; it exits 1
if anything was answered with a 5xx, told of the daemons' insides, or changed the ledger or a user's rights.
"""

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog

from daemons.contracts.permissions import Permission
from daemons.shared.http.routes import IdempotencyKey, Route
from tests.evidence.bad_input import CLASSES, BadInput, Draft
from tests.evidence.raw_http import Answer, Line
from tests.support.callers import Callers, routes, sign_in_again
from tests.support.mongo import running_mongod
from tests.support.whole_bank import UNLIMITED, WholeBank, running_whole_bank

WORKERS = 12
_PATIENCE_SECONDS = 40.0
_RAW_PATIENCE_SECONDS = 0.5
_CHUNK = 20_000
_PEOPLE = ("owner", "operator", "admin")
_LEAKS = (b"Traceback", b'File "', b"pymongo", b"/daemons/", b"argon2id", b"password_hash")
# These would end the sessions that the fuzzer works with, however little is wrong with a request.
_LEFT_OUT = ("/auth/logout", "/auth/sessions", "/auth/change-password", "/auth/totp")
_STATUS_SERVER_ERROR = 500
_DONE = frozenset({200, 201, 202, 204})
# Public routes need no caller, previews write nothing, and a batch answers for each row.
_MAY_ANSWER = ("/users", "/auth/login", "/transactions/preview", "/transactions/batch")


@dataclass
class Report:
    """What was answered: by class, and what must not have been."""

    answered: dict[str, Counter[int]] = field(default_factory=dict)
    server_errors: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    carried_out: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many were sent."""
        return sum(sum(counter.values()) for counter in self.answered.values())

    def add(self, bad: BadInput, draft: Draft, answer: Answer) -> None:
        """Count one answer."""
        self.answered.setdefault(bad.name, Counter())[answer.status] += 1
        target = f"{draft.method} {draft.path}?{draft.query[:60]}"
        told = f"{bad.name}: {target} -> {answer.status} {answer.body[:200]!r}"
        if answer.status >= _STATUS_SERVER_ERROR:
            self.server_errors.append(f"{told} to {draft.encoded()[:600]!r}")
        if answer.status in _DONE and draft.method != "GET" and draft.path not in _MAY_ANSWER:
            self.carried_out.append(f"{told} to {draft.encoded()[-300:]!r}")
        if any(leak in answer.body for leak in _LEAKS):
            self.leaks.append(told)


class Fuzzer:
    """Picks a route, a caller and a class, again and again."""

    def __init__(self, whole: WholeBank, callers: Callers) -> None:
        self._whole = whole
        self._callers = callers
        self._routes = [(daemon, route) for daemon, route in routes() if not route.path.startswith(_LEFT_OUT)]
        self._ports = {name: urlsplit(origin).port or 0 for name, origin in whole.origins.items()}

    async def run(self, requests: int, *, seed: int) -> Report:
        """Send the requests and compare ledger and users before and after."""
        report = Report()
        before = await self._state()
        sent = 0
        while sent < requests:
            for name in _PEOPLE:
                await sign_in_again(self._callers.person(name))
            chunk = min(_CHUNK, requests - sent)
            shares = [chunk // WORKERS + (number < chunk % WORKERS) for number in range(WORKERS)]
            async with asyncio.TaskGroup() as group:
                for number, share in enumerate(shares):
                    rng = random.Random(f"{seed}-{sent}-{number}")  # noqa: S311 - a repeatable run, no secret
                    group.create_task(self._work(rng, share, report))
            sent += chunk
        after = await self._state()
        report.changes += [name for name in before if before[name] != after[name]]
        return report

    async def _work(self, rng: random.Random, share: int, report: Report) -> None:
        lines = {daemon: Line(port) for daemon, port in self._ports.items()}
        try:
            for _ in range(share):
                bad = rng.choice(CLASSES)
                daemon, draft = self._draft(rng, bad)
                bad.spoil(rng, draft)
                answer = await lines[daemon].send(
                    draft.encoded(),
                    then_hang_up=draft.then_hang_up,
                    patience_seconds=_PATIENCE_SECONDS if draft.raw is None else _RAW_PATIENCE_SECONDS,
                )
                report.add(bad, draft, answer)
        finally:
            for line in lines.values():
                await line.close()

    def _draft(self, rng: random.Random, bad: BadInput) -> tuple[str, Draft]:
        fitting = [pair for pair in self._routes if self._fits(bad.needs, pair[1])]
        daemon, route = rng.choice(fitting)
        draft = Draft(
            method=route.method,
            path=self._callers.path_of(route),
            fields=deepcopy(self._callers.body_of(route)),
            cookie=self._callers.person(self._who(route)).headers["Cookie"].encode(),
        )
        if route.idempotency_key is not IdempotencyKey.UNUSED:
            draft.headers["Idempotency-Key"] = str(UUID(int=rng.getrandbits(128))).encode()
        return daemon, draft

    def _fits(self, needs: str, route: Route) -> bool:
        fields = self._callers.body_of(route) or {}
        row = fields["transfers"][0] if "transfers" in fields else fields
        return {
            "": True,
            "raw": True,
            "body": route.body is not None,
            "fields": bool(fields),
            "required": bool(fields),
            "money": "amount" in row,
            "transfer": "from_account" in row,
            "change": route.method != "GET" and route.permission is not Permission.SERVICE,
            "key": route.idempotency_key is not IdempotencyKey.UNUSED,
            "id": "{" in route.path,
            "query": route.method == "GET",
        }[needs]

    @staticmethod
    def _who(route: Route) -> str:
        """The one whom nothing but the bad input keeps out."""
        if route.permission is Permission.MANAGE_USERS:
            return "admin"
        own = route.permission in {Permission.USE_OWN_ACCOUNTS, Permission.MANAGE_OWN_ACCESS}
        return "owner" if own else "operator"

    async def _state(self) -> dict[str, Any]:
        ledger, users = self._whole.ledger, self._whole.bank.users
        rights = {"role": 1, "locked": 1, "password_hash": 1}
        return {
            "accounts": await ledger["accounts"].find().sort("_id").to_list(),
            "journal": await ledger["journal"].find().sort("_id").to_list(),
            "ledger's audit": await ledger["audit"].count_documents({}),
            "users' audit": await users["audit"].count_documents({}),
            "rights": await users["users"].find({}, rights).sort("_id").to_list(),
            "proof": (await self._callers.person("operator").get("/ledger/proof")).json()["holds"],
        }


def _print(report: Report) -> None:
    for bad in CLASSES:
        counter = report.answered.get(bad.name, Counter())
        statuses = ", ".join(f"{status or 'closed'}: {count}" for status, count in sorted(counter.items()))
        sys.stdout.write(f"{bad.name:<40} {sum(counter.values()):>8}   {statuses}\n")
    sys.stdout.write(
        f"\n{report.requests} requests of {len(CLASSES)} classes: {len(report.server_errors)} server errors, "
        f"{len(report.leaks)} leaks, {len(report.carried_out)} carried out, "
        f"changed: {', '.join(report.changes) or 'nothing'}\n"
    )
    for line in [*report.server_errors[:20], *report.leaks[:20], *report.carried_out[:20]]:
        sys.stdout.write(line + "\n")


async def _main(requests: int, seed: int) -> int:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with tempfile.TemporaryDirectory() as folder, running_mongod(Path(folder)) as uri:
        async with running_whole_bank(uri, UNLIMITED) as whole:
            callers = Callers(whole)
            await callers.prepare()
            report = await Fuzzer(whole, callers).run(requests, seed=seed)
    _print(report)
    return int(bool(report.server_errors or report.leaks or report.changes or report.carried_out))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(asyncio.run(_main(options.requests, options.seed)))
