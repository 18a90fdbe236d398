"""Three real members on this machine, which speak to one another through proxies and so can be parted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import psutil
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from bankctl.local import ports
from tests.faults.mongo_server import MongoServer
from tests.faults.proxy import Proxy
from tests.support.waiting import patience

MEMBERS = 3
ELECTION_TIMEOUT_SECONDS = 4
"""Heartbeats come late on a busy machine; a set that takes its primary for lost again and again has none."""


class ReplicaSet:
    """The members, each behind a proxy whose address is the one that all others, and clients, know."""

    def __init__(self, folder: Path) -> None:
        free = ports.pick(MEMBERS)
        self.members = [
            MongoServer(folder / f"member{index}" / "data", port, name=f"member{index}")
            for index, port in enumerate(free)
        ]
        self.proxies = [Proxy(member.port) for member in self.members]
        self._parted: int | None = None
        self._owner_of_port: dict[int, int | None] = {}

    @property
    def uri(self) -> str:
        return f"mongodb://{','.join(self._addresses)}/?replicaSet=rs0"

    @property
    def _addresses(self) -> list[str]:
        return [f"{ports.LOOPBACK}:{proxy.port}" for proxy in self.proxies]

    async def start(self) -> None:
        for index, proxy in enumerate(self.proxies):
            await proxy.start()
            proxy.cuts = partial(self.is_cut, index)
        for member in self.members:
            member.start()
        config = {
            "_id": "rs0",
            "members": [{"_id": index, "host": address} for index, address in enumerate(self._addresses)],
            "settings": {
                # A secondary that follows the primary has no reason to look for another source meanwhile.
                "chainingAllowed": False,
                "electionTimeoutMillis": ELECTION_TIMEOUT_SECONDS * 1000,
                "heartbeatIntervalMillis": 500,
                "heartbeatTimeoutSecs": ELECTION_TIMEOUT_SECONDS,
            },
        }
        async with patience("the replica set to be initiated"):
            while True:
                try:
                    await self.members[0].command({"replSetInitiate": config})
                except PyMongoError:
                    # The others are still starting.
                    await asyncio.sleep(0.1)
                else:
                    break
        await self.primary()

    async def stop(self) -> None:
        for member in self.members:
            member.kill()
        for proxy in self.proxies:
            await proxy.close()

    async def primary(self, *, other_than: MongoServer | None = None) -> MongoServer:
        """Wait until a member takes writes, and return it."""
        async with patience("a primary", found=self._ends_of_logs):
            while True:
                for member in self.members:
                    if member is not other_than and await self._is_primary(member):
                        return member
                await asyncio.sleep(0.1)

    async def until_whole(self) -> None:
        """Wait until both others follow the primary: the next fault must not take the majority.

        Being alike is not enough. A secondary that is connecting to the primary at the moment in which that
        is paused waits for the handshake until the pause ends, for MongoDB does not bound it; meanwhile
        nothing reaches a majority.
        """
        states: list[tuple[str, str]] = []
        async with patience(
            "secondaries that follow the primary", found=lambda: f"{states}\n{self._ends_of_logs()}"
        ):
            while True:
                primary = await self.primary()
                address = self._addresses[self.members.index(primary)]
                states = [await self._state(member) for member in self.members if member is not primary]
                if states == [("SECONDARY", address)] * (MEMBERS - 1) and await _all_acknowledge(primary):
                    return
                await asyncio.sleep(0.1)

    async def step_down(self) -> MongoServer:
        """Have the primary give up; returns its successor."""
        before = await self.primary()
        # For no longer than an election takes: who must not be elected yet is missing at the next one.
        command = {"replSetStepDown": 3, "secondaryCatchUpPeriodSecs": 2}
        async with patience(f"{before.name} to step down", found=before.log_tail):
            while await self._is_primary(before):
                # It may close the very connection that asked, or refuse while the others lag.
                with contextlib.suppress(PyMongoError):
                    await before.command(command)
        return await self.primary(other_than=before)

    def part(self, member: MongoServer) -> None:
        """Let nothing through between this member and the others; clients still reach all of them."""
        self._owner_of_port.clear()
        self._parted = self.members.index(member)

    def join(self) -> None:
        """End the partition; what was under way is lost."""
        self._parted = None
        for proxy in self.proxies:
            proxy.set_mode(proxy.mode)
            proxy.reset_all()

    def is_cut(self, target: int, source_port: int) -> bool:
        """Whether what comes from a port is cut off on its way to a member."""
        if self._parted is None:
            return False
        source = self._owner(source_port)
        return source is not None and (source == self._parted) != (target == self._parted)

    def _owner(self, port: int) -> int | None:
        if port not in self._owner_of_port:
            self._owner_of_port[port] = self._find_owner(port)
        return self._owner_of_port[port]

    def _find_owner(self, port: int) -> int | None:
        """Tell which member has a connection from the port; every heartbeat waits for the answer.

        Linux tells it in two looks. psutil decodes every connection of the machine, once for each member.
        """
        table = Path("/proc/net/tcp")
        if not table.exists():
            for index, member in enumerate(self.members):
                for found in psutil.Process(member.pid).net_connections(kind="tcp4"):
                    if found.raddr and found.laddr.port == port:
                        return index
            return None
        rows = [line.split() for line in table.read_text().splitlines() if f":{port:04X} " in line]
        sockets = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}")}
        for index, member in enumerate(self.members):
            for descriptor in Path(f"/proc/{member.pid}/fd").iterdir():
                with contextlib.suppress(FileNotFoundError):
                    if str(descriptor.readlink()) in sockets:
                        return index
        return None

    @staticmethod
    async def _state(member: MongoServer) -> tuple[str, str]:
        """What the member is, and whom it follows."""
        try:
            status = await member.command({"replSetGetStatus": 1})
        except PyMongoError as error:
            return type(error).__name__, ""
        [state] = [other["stateStr"] for other in status["members"] if other.get("self")]
        return state, status["syncSourceHost"]

    def _ends_of_logs(self) -> str:
        """Whether each member runs, and what it logged last."""
        return "\n".join(
            f"{member.name}, {'running' if member.alive else member.exit_status}: {member.log_tail()}"
            for member in self.members
        )

    @staticmethod
    async def _is_primary(member: MongoServer) -> bool:
        def ask() -> bool:
            with MongoClient[dict[str, object]](
                member.address,
                directConnection=True,
                serverSelectionTimeoutMS=500,
                socketTimeoutMS=1000,
                connectTimeoutMS=500,
            ) as client:
                return bool(client.admin.command("hello")["isWritablePrimary"])

        try:
            return member.alive and await asyncio.to_thread(ask)
        except PyMongoError:
            return False


async def _all_acknowledge(primary: MongoServer) -> bool:
    """Have every member acknowledge something new."""
    note = {"appendOplogNote": 1, "data": {"by": "tests"}, "writeConcern": {"w": MEMBERS, "wtimeout": 2000}}
    try:
        return "writeConcernError" not in await primary.command(note)
    except PyMongoError:
        return False


@asynccontextmanager
async def running_replica_set(folder: Path) -> AsyncIterator[ReplicaSet]:
    """Three members with a primary among them."""
    replica_set = ReplicaSet(folder)
    try:
        await replica_set.start()
        yield replica_set
    finally:
        await replica_set.stop()
