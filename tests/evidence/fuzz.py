"""Sends bad input of every class to every route of the three real daemons, over raw loopback sockets.

`python -m tests.evidence.fuzz --requests 200000 [--seed N]` says how far it is, then what each class was
answered; it exits 1 if anything was answered with a 5xx, told of the daemons' insides, was carried out, or
changed the ledger, a user's rights, or the sessions and second factors of those who could have ended theirs.
"""

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit
from uuid import UUID

import structlog

from daemons.contracts.permissions import Permission
from daemons.shared.http.routes import IdempotencyKey, Route
from daemons.user_api.security_events import SecurityEvent
from tests.evidence.bad_input import CLASSES, BadInput, Draft
from tests.evidence.exercised import exercised
from tests.evidence.expendable import Expendables
from tests.evidence.raw_http import Answer, Line
from tests.support.callers import Callers, sign_in_again
from tests.support.mongo import running_mongod
from tests.support.whole_bank import UNLIMITED, WholeBank, running_whole_bank

WORKERS = 12
_PATIENCE_SECONDS = 40.0
_RAW_PATIENCE_SECONDS = 0.5
# Access tokens last for ten minutes; between two chunks everybody signs in again.
_CHUNK = 5000
_PEOPLE = ("owner", "operator", "admin")
_LEAKS = (b"Traceback", b'File "', b"pymongo", b"/daemons/", b"argon2id", b"password_hash")
_TOLD = ["access.refused", *(event.value for event in SecurityEvent)]
_STATUS_SERVER_ERROR = 500
_DONE = frozenset({200, 201, 202, 204})
# Public routes need no caller, previews write nothing, and a batch answers for each row.
_MAY_ANSWER = (
    "/users",
    "/auth/login",
    "/auth/reset",
    "/auth/totp/lost",
    "/transactions/preview",
    "/transactions/batch",
    "/transactions/batch/preview",
)


@dataclass
class Report:
    """What was answered: by class, and what must not have been."""

    answered: dict[str, Counter[int]] = field(default_factory=dict)
    routes: Counter[tuple[str, str]] = field(default_factory=Counter)
    server_errors: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    carried_out: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many were sent."""
        return sum(sum(counter.values()) for counter in self.answered.values())

    @property
    def problems(self) -> int:
        """How much of what must not be was found."""
        return sum(map(len, (self.server_errors, self.leaks, self.carried_out, self.changes)))

    def add(self, bad: BadInput, route: Route, draft: Draft, answer: Answer) -> None:
        """Count one answer."""
        self.routes[route.method, route.path] += 1
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
        self._expendables = Expendables(whole.bank)
        self._routes = exercised()
        self._untried = {(route.method, route.path) for _, route in self._routes}
        self._ports = {name: urlsplit(origin).port or 0 for name, origin in whole.origins.items()}

    async def run(self, requests: int, *, seed: int, told: Callable[[Report], None] | None = None) -> Report:
        """Send the requests and compare ledger and users before and after each chunk of them."""
        report = Report()
        sent = 0
        while sent < requests:
            for name in _PEOPLE:
                await sign_in_again(self._callers.person(name))
            await self._expendables.prepare()
            before = await self._state()
            chunk = min(_CHUNK, requests - sent)
            shares = [chunk // WORKERS + (number < chunk % WORKERS) for number in range(WORKERS)]
            async with asyncio.TaskGroup() as group:
                for number, share in enumerate(shares):
                    rng = random.Random(f"{seed}-{sent}-{number}")  # noqa: S311 - a repeatable run, no secret
                    group.create_task(self._work(rng, share, report))
            sent += chunk
            after = await self._state()
            report.changes += [f"{name} before {sent}" for name in before if before[name] != after[name]]
            if told is not None:
                told(report)
        return report

    async def _work(self, rng: random.Random, share: int, report: Report) -> None:
        lines = {daemon: Line(port) for daemon, port in self._ports.items()}
        try:
            for _ in range(share):
                bad = rng.choice(CLASSES)
                daemon, route, draft = self._draft(rng, bad)
                bad.spoil(rng, draft)
                answer = await lines[daemon].send(
                    draft.encoded(),
                    then_hang_up=draft.then_hang_up,
                    patience_seconds=_PATIENCE_SECONDS if draft.raw is None else _RAW_PATIENCE_SECONDS,
                )
                if draft.raw is not None:
                    # The server may wait for the rest of it, and take the next request for that.
                    await lines[daemon].close()
                report.add(bad, route, draft, answer)
        finally:
            for line in lines.values():
                await line.close()

    def _draft(self, rng: random.Random, bad: BadInput) -> tuple[str, Route, Draft]:
        fitting = [pair for pair in self._routes if self._fits(bad.needs, pair[1])]
        # However few requests there are, each route gets one.
        untried = [pair for pair in fitting if (pair[1].method, pair[1].path) in self._untried]
        daemon, route = rng.choice(untried or fitting)
        self._untried.discard((route.method, route.path))
        draft = self._sound(route)
        if route.idempotency_key is not IdempotencyKey.UNUSED:
            draft.headers["Idempotency-Key"] = str(UUID(int=rng.getrandbits(128))).encode()
        return daemon, route, draft

    def _sound(self, route: Route) -> Draft:
        """Return a request that nothing is wrong with."""
        expendable = self._expendables.of(route)
        if expendable is None:
            person, path = self._callers.person(self._who(route)), self._callers.path_of(route)
            fields = deepcopy(self._callers.body_of(route))
        else:
            person, path = expendable.person, expendable.path_of(route)
            fields = expendable.fields() if expendable.fields else None
        cookie = person.headers["Cookie"].encode()
        return Draft(route.method, path, fields, cookie, route.path, may_be_null=_may_be_null(route))

    def _fits(self, needs: str, route: Route) -> bool:
        fields = self._callers.body_of(route) or {}
        row = fields["transfers"][0] if "transfers" in fields else fields
        return {
            "": True,
            "raw": True,
            "body": route.body is not None,
            "fields": bool(fields),
            "never null": bool(set(fields) - _may_be_null(route)),
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
        ledger, users, events = self._whole.ledger, self._whole.bank.users, self._whole.events
        rights = {"role": 1, "locked": 1, "password_hash": 1}
        theirs = {"$in": self._expendables.user_ids}
        return {
            "accounts": await ledger["accounts"].find().sort("_id").to_list(),
            "journal": await ledger["journal"].find().sort("_id").to_list(),
            # A refused guess and the like are told, an act that was carried out must not be among them.
            "ledger's audit": await ledger["audit"].count_documents({"action": {"$nin": _TOLD}}),
            "users' audit": await users["audit"].count_documents({"action": {"$nin": _TOLD}}),
            "events' audit": await events["audit"].count_documents({"action": {"$nin": _TOLD}}),
            "rights": await users["users"].find({}, rights).sort("_id").to_list(),
            "sessions": await users["sessions"].distinct("_id", {"user_id": theirs}),
            "second factors": await users["second_factors"].find({"_id": theirs}).sort("_id").to_list(),
            "proof": (await self._callers.person("operator").get("/ledger/proof")).json()["holds"],
        }


def _may_be_null(route: Route) -> frozenset[str]:
    """Name the fields of the route's body of which null is a sound value."""
    fields = {} if route.body is None else route.body.model_fields
    return frozenset(name for name, of in fields.items() if type(None) in get_args(of.annotation))


def _teller(requests: int) -> Callable[[Report], None]:
    began = time.monotonic()

    def tell(report: Report) -> None:
        seconds = time.monotonic() - began
        sys.stderr.write(
            f"{report.requests} of {requests} requests in {seconds:.0f} s, "
            f"{report.requests / seconds:.0f} a second, {report.problems} problems\n"
        )

    return tell


def _print(report: Report) -> None:
    for bad in CLASSES:
        counter = report.answered.get(bad.name, Counter())
        statuses = ", ".join(f"{status or 'closed'}: {count}" for status, count in sorted(counter.items()))
        sys.stdout.write(f"{bad.name:<40} {sum(counter.values()):>8}   {statuses}\n")
    sys.stdout.write(
        f"\n{report.requests} requests of {len(CLASSES)} classes to {len(report.routes)} routes: "
        f"{len(report.server_errors)} server errors, {len(report.leaks)} leaks, "
        f"{len(report.carried_out)} carried out, "
        f"changed: {', '.join(report.changes) or 'nothing'}\n"
    )
    for line in [*report.server_errors[:20], *report.leaks[:20], *report.carried_out[:20]]:
        sys.stdout.write(line + "\n")


async def _main(requests: int, seed: int) -> int:
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    # The server library tells of each broken message; what matters is what it answers.
    logging.disable()
    with tempfile.TemporaryDirectory() as folder, running_mongod(Path(folder)) as uri:
        async with running_whole_bank(uri, UNLIMITED) as whole:
            callers = Callers(whole)
            await callers.prepare()
            report = await Fuzzer(whole, callers).run(requests, seed=seed, told=_teller(requests))
    _print(report)
    return int(report.problems > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(asyncio.run(_main(options.requests, options.seed)))
