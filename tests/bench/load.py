"""The load generator, a process of its own: `python -m tests.bench.load` takes a plan on standard input."""

import asyncio
import ssl
import sys
import time

import uvloop

from tests.bench.http_connection import HttpConnection
from tests.bench.load_plan import LoadPlan, LoadReport
from tests.bench.payment_requests import Requests, check_answer, transaction_of

_PATIENCE_SECONDS = 60


class Generator:
    """Carries out one plan and stops by itself."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        certificate = plan.certificate
        self._trust = None if certificate is None else ssl.create_default_context(cafile=certificate)
        self._begun = 0.0
        self._answered = 0
        self._latencies: list[float] = []
        self._transactions: list[tuple[str, str]] = []

    async def run(self) -> LoadReport:
        """Connect first, then start the clock; late answers are awaited, they were paid as well.

        Raises:
            AssertionError: a payment was not completed.
            TimeoutError: answers did not come.
        """
        plan = self._plan
        lines = [await self._connect(index) for index in range(plan.connections)]
        cpu = time.process_time()
        self._begun = time.perf_counter()
        async with asyncio.timeout(plan.seconds + _PATIENCE_SECONDS):
            if plan.requests_per_second is None:
                async with asyncio.TaskGroup() as group:
                    for connection, requests in lines:
                        group.create_task(self._keep_asking(connection, requests))
            else:
                await self._pace(lines, plan.requests_per_second)
        seconds = time.perf_counter() - self._begun
        for connection, _ in lines:
            connection.close()
        return LoadReport(
            acknowledged=self._answered * plan.rows_per_request,
            seconds=seconds,
            cpu_seconds=time.process_time() - cpu,
            latencies_seconds=self._latencies,
            transactions=self._transactions,
        )

    async def _connect(self, index: int) -> tuple[HttpConnection, Requests]:
        plan = self._plan
        port = plan.ports[index % len(plan.ports)]
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(HttpConnection, plan.host, port, ssl=self._trust)
        return connection, Requests(plan, port=port, payers=plan.payers_of(index))

    async def _keep_asking(self, connection: HttpConnection, requests: Requests) -> None:
        end = self._begun + self._plan.seconds
        request = requests.next()
        while (now := time.perf_counter()) < end:
            await self._ask(connection, request, since=now)
            request = requests.next()

    async def _pace(self, lines: list[tuple[HttpConnection, Requests]], rate: float) -> None:
        idle: asyncio.Queue[tuple[HttpConnection, Requests]] = asyncio.Queue()
        for line in lines:
            idle.put_nowait(line)

        async def ask_with(line: tuple[HttpConnection, Requests], since: float) -> None:
            connection, requests = line
            await self._ask(connection, requests.next(), since=since)
            idle.put_nowait(line)

        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * self._plan.seconds)):
                due = self._begun + number / rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(ask_with(await idle.get(), due))

    async def _ask(self, connection: HttpConnection, request: bytes, *, since: float) -> None:
        head, body = await connection.ask(request)
        now = time.perf_counter()
        check_answer(head, body, rows=self._plan.rows_per_request)
        self._answered += 1
        self._latencies.append(now - since)
        if self._plan.requests_per_second is not None:
            self._transactions.append(transaction_of(body))


def main() -> None:
    """Carry out the plan and write the report on standard output."""
    plan = LoadPlan.loads(sys.stdin.read())
    try:
        report = uvloop.run(Generator(plan).run())
    except BaseExceptionGroup as group:
        # All connections fail alike; one of them says why.
        raise group.exceptions[0] from None
    sys.stdout.write(report.dumps())


if __name__ == "__main__":
    main()
