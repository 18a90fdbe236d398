"""The installed command line, run as people run it: a process of its own, a home of its own."""

import asyncio
import contextlib
import json
import os
import sysconfig
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.waiting import patience

BANKCTL = str(Path(sysconfig.get_path("scripts")) / "bankctl")
PATIENCE_SECONDS = 180
# What would lead the run to another bank than its own, or change how it speaks; and what would have it
# compile itself at every start, which an installed command line does once.
_NOT_INHERITED = {
    "PYTHONDONTWRITEBYTECODE",
    *("MONGO_URI", "KAFKA_BROKER", "JWT_SECRET", "PORT", "HOST"),
    *("BANKCTL_PROFILE", "NO_COLOR", "CLICOLOR_FORCE", "COLUMNS"),
}


@dataclass(frozen=True)
class Outcome:
    """What one command line left behind."""

    arguments: tuple[str, ...]
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def problem(self) -> dict[str, Any]:
        """The error that `-o json` puts on the last line of stderr."""
        found: dict[str, Any] = json.loads(self.err.strip().splitlines()[-1])
        return found

    def __str__(self) -> str:
        return (
            f"bankctl {' '.join(self.arguments)} exited {self.status}\n{self.out[-2000:]}\n{self.err[-4000:]}"
        )


class Running:
    """A command that runs on beside the test; what it has printed so far is in `lines`."""

    def __init__(self, process: asyncio.subprocess.Process, arguments: tuple[str, ...]) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self.lines: list[str] = []
        self._arguments = arguments
        self._out = asyncio.create_task(self._collect(process.stdout, self.lines))
        self._errors: list[str] = []
        self._err = asyncio.create_task(self._collect(process.stderr, self._errors))

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The lines so far, each of them JSON."""
        return [json.loads(line) for line in self.lines]

    @property
    def ended(self) -> bool:
        return self.process.returncode is not None

    async def outcome(self) -> Outcome:
        """Wait for the end of the command."""
        async with patience(" ".join(self._arguments), seconds=PATIENCE_SECONDS, found=lambda: self._errors):
            status = await self.process.wait()
            await asyncio.gather(self._out, self._err)
        return Outcome(self._arguments, status, "".join(self.lines), "".join(self._errors))

    async def kill(self) -> Outcome:
        """End it with SIGKILL unless it has ended, and wait until it is gone."""
        if not self.ended:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
        return await self.outcome()

    @staticmethod
    async def _collect(stream: asyncio.StreamReader, lines: list[str]) -> None:
        while line := await stream.readline():
            lines.append(line.decode())


class Terminal:
    """Runs commands with a BANKCTL_HOME of its own, without a terminal and without options from outside."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
        # Its commands are a script's, which agrees beforehand to what it does.
        self._environment = {**inherited, "BANKCTL_HOME": str(home), "BANKCTL_YES": "1", **environment}

    async def attempt(self, *arguments: str, stdin: str = "") -> Outcome:
        """Run a command to its end, however it ends."""
        async with self.start(*arguments, stdin=stdin) as running:
            return await running.outcome()

    async def run(self, *arguments: str, stdin: str = "", status: int = 0) -> Outcome:
        """Run a command that must end with the status."""
        outcome = await self.attempt(*arguments, stdin=stdin)
        assert outcome.status == status, outcome
        return outcome

    async def json(self, *arguments: str, stdin: str = "") -> Any:
        """Run a command that must succeed, and return its result."""
        return (await self.run("-o", "json", *arguments, stdin=stdin)).json

    async def refusal(self, *arguments: str, status: int, stdin: str = "") -> str:
        """Run a command that must be refused with the exit status; returns the stable code of the error."""
        outcome = await self.run("-o", "json", *arguments, status=status, stdin=stdin)
        assert outcome.problem["exit_status"] == status, outcome
        assert outcome.problem["detail"], outcome
        return str(outcome.problem["code"])

    @contextlib.asynccontextmanager
    async def start(self, *arguments: str, stdin: str = "") -> AsyncIterator[Running]:
        """Run a command beside the test; it is killed if it still runs at the end of the block."""
        process = await asyncio.create_subprocess_exec(
            BANKCTL,
            *arguments,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=1 << 24,
        )
        assert process.stdin is not None
        process.stdin.write(stdin.encode())
        process.stdin.close()
        running = Running(process, arguments)
        try:
            yield running
        finally:
            await running.kill()
