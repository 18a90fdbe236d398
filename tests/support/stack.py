"""The whole bank as `bankctl dev up` starts it, for people at terminals of their own."""

import os
import shutil
import signal
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from tests.support.person import PASSWORD, Person
from tests.support.terminal import Terminal
from tests.support.waiting import eventually

UNCONFIRMED = 10**12
"""What may be paid in a day without a code of the second factor."""


@dataclass(frozen=True)
class PartProcess:
    """One process of the stack."""

    name: str
    pid: int
    port: int

    def kill(self) -> None:
        """End it as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)

    async def has_ended(self) -> bool:
        """Whether it does nothing more; nobody may have asked yet how it ended."""
        try:
            return psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def pause(self) -> None:
        """Let it accept requests and do nothing with them."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def has_unread_bytes(self) -> bool:
        """Whether a request has arrived that the process has not read (Linux tells by its socket table)."""
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return any(
            line[1].endswith(f":{self.port:04X}") and line[3] == "01" and int(line[4].partition(":")[2], 16)
            for line in lines
        )


class LocalStack:
    """A local stack in a folder of its own, together with the homes of the people who use it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # Most tests are about something else than who else has to agree.
        # Payments that few tests make need a code, so that all tests count what needs none.
        self.terminal = Terminal(
            folder / "stack",
            STAFF_POLICY="none",
            PAYMENT_CONFIRMATION_ABOVE=f"EUR={UNCONFIRMED},CZK={UNCONFIRMED},USD={UNCONFIRMED}",
        )
        self.url = ""
        self.ca_file = ""

    async def up(self) -> None:
        await self.terminal.run("dev", "up", "--ports", "auto")
        self.url = (await self.terminal.json("config", "get", "url"))["url"]
        self.ca_file = (await self.terminal.json("config", "get", "ca_file"))["ca_file"]

    async def status(self) -> dict[str, Any]:
        """What `dev status` says, also of a stack that is not well."""
        outcome = await self.terminal.attempt("dev", "status", "-o", "json")
        assert outcome.status in {0, 1}, outcome
        found: dict[str, Any] = outcome.json
        return found

    async def is_healthy(self) -> bool:
        """Whether every part serves."""
        return bool((await self.status())["healthy"])

    async def part(self, name: str) -> PartProcess:
        """The process that runs a part now."""
        found = next(part for part in (await self.status())["parts"] if part["name"] == name)
        return PartProcess(name, found["pid"], found["port"])

    async def until_replaced(self, killed: PartProcess) -> None:
        """Wait until another process does the work of the killed one, and everything serves again."""

        async def replaced() -> bool:
            return await self.is_healthy() and (await self.part(killed.name)).pid != killed.pid

        await eventually(replaced)

    @asynccontextmanager
    async def without_restarts(self) -> AsyncIterator[None]:
        """What is killed inside the block stays away until its end."""
        supervisor = (await self.status())["supervisor_pid"]
        os.kill(supervisor, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(supervisor, signal.SIGCONT)

    async def register(self, name: str) -> Person:
        """Somebody new who has registered and logged in."""
        person = await self.visitor(name)
        given = ("--email", person.email, "--name", name, "--password-stdin")
        await person.run("register", *given, stdin=f"{PASSWORD}\n")
        await person.login()
        return person

    async def appoint(self, name: str, role: str) -> Person:
        """Somebody with a role, which only the server's own shell gives, who has logged in."""
        person = await self.visitor(name)
        await self.create_operator(person, name, role)
        return person

    async def create_operator(self, person: Person, name: str, role: str) -> None:
        """Make the user, log in with the password that works once, and change it."""
        given = ("--email", person.email, "--display-name", name, "--role", role, "--password-stdin")
        once = f"{PASSWORD} once"
        await self.terminal.run("dev", "create-operator", *given, stdin=f"{once}\n")
        await person.run("login", "--email", person.email, "--password-stdin", stdin=f"{once}\n")
        await person.run("auth", "change-password", "--password-stdin", stdin=f"{once}\n{PASSWORD}\n")

    async def visitor(self, name: str) -> Person:
        """Somebody at a new terminal that knows the bank and nothing else."""
        return await self.at_another_terminal(f"{name.lower()}-{uuid.uuid4().hex[:8]}@example.com")

    async def at_another_terminal(self, email: str) -> Person:
        """The person with that address at a new terminal, not logged in there."""
        person = Person(self.folder / f"home-{uuid.uuid4().hex[:8]}", email, self.url, self.ca_file)
        await person.run("config", "set", "url", self.url, "--profile", "bank")
        await person.run("config", "set", "ca_file", self.ca_file, "--profile", "bank")
        return person

    async def mail(self, to: str, subject: str) -> dict[str, Any]:
        """The newest mail with this subject that the catcher has for somebody, once it is there."""
        listed: list[dict[str, Any]] = []

        async def arrived() -> bool:
            listed[:] = await self.terminal.json("dev", "mail", "--to", to)
            return any(one["subject"] == subject for one in listed)

        await eventually(arrived, found=lambda: [one["subject"] for one in listed])
        newest = next(one["id"] for one in listed if one["subject"] == subject)
        found: dict[str, Any] = await self.terminal.json("dev", "mail", newest)
        return found

    def processes(self) -> list[psutil.Process]:
        """Everything that runs for this stack or its people: told by folder, command line or environment."""
        return [process for process in psutil.process_iter() if _works_in(process, str(self.folder))]

    def exposed(self) -> list[str]:
        """Sockets of the stack that others than this machine could reach."""
        return [
            f"{process.name()} ({process.pid}) at {found.laddr}"
            for process, found in self._sockets()
            if not found.raddr and not _is_loopback(found.laddr.ip)
        ]

    def listening_ports(self) -> set[int]:
        """Ports on which the stack accepts connections."""
        return {found.laddr.port for _, found in self._sockets() if found.status == psutil.CONN_LISTEN}

    def _sockets(self) -> Iterator[tuple[psutil.Process, Any]]:
        for process in self.processes():
            for found in process.net_connections(kind="inet"):
                if found.laddr and found.status in {psutil.CONN_LISTEN, psutil.CONN_NONE}:
                    yield process, found

    async def down(self) -> None:
        """Stop it, and hold it to what `dev down` promises."""
        ports = [part["port"] for part in (await self.status())["parts"]]
        exposed = self.exposed()
        await self.terminal.run("dev", "down")
        left = [process.cmdline() for process in self.processes()]
        after = await self.status()
        assert exposed == []
        assert left == []
        assert [part["pid"] for part in after["parts"]] == [None] * len(ports)
        assert not {port for port in ports if _is_listened_on(port)}

    def end_what_is_left(self) -> None:
        """End what a failed `down` has left, so that it does not weigh on later runs."""
        for process in self.processes():
            process.kill()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalStack]:
    """The run's own bank: everything real, on free ports, started once and stopped with the run."""
    running = LocalStack(tmp_path_factory.mktemp("stack"))
    try:
        await running.up()
        assert running.exposed() == []
        yield running
        await running.down()
    finally:
        running.end_what_is_left()
        # The logs stay with the other files of the run; the data would fill the disk in a few runs.
        for data in ("mongo", "kafka"):
            shutil.rmtree(running.terminal.home / "data" / "stacks" / "local" / data, ignore_errors=True)


def _works_in(process: psutil.Process, folder: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
            return False
        told = [process.cwd(), *process.cmdline(), process.environ().get("BANKCTL_HOME", "")]
    except (psutil.Error, OSError):
        return False
    return any(folder in text for text in told)


def _is_listened_on(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_loopback(address: str) -> bool:
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return (mapped or parsed).is_loopback
