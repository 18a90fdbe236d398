"""A mongod that can be killed, paused, and told to fail commands."""

import asyncio
from pathlib import Path
from typing import Any

from pymongo import MongoClient

from bankctl.local.mongod import find_mongod, mongod_command, uri
from bankctl.local.ports import LOOPBACK
from daemons.shared.mongo_admin import initiate
from tests.faults.processes import ServerProcess
from tests.support.waiting import PATIENCE_SECONDS

ABANDONED_TRANSACTION_SECONDS = 3
"""How long a killed daemon's open transaction holds its documents (MongoDB's default is 60 s)."""
_START_TIMEOUT_SECONDS = 60


class MongoServer(ServerProcess):
    """One mongod with its data in a folder."""

    def __init__(self, folder: Path, port: int, *, name: str = "mongod") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port
        self._failed_before = 0
        self.address = f"{LOOPBACK}:{port}"
        command = [
            *mongod_command(find_mongod(), folder, port),
            *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"),
            *("--setParameter", "enableTestCommands=1"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", f"transactionLifetimeLimitSeconds={ABANDONED_TRANSACTION_SECONDS}"),
        ]
        super().__init__(name, command, folder.parent / f"{name}.log")

    @property
    def uri(self) -> str:
        return uri(self.port)

    async def initiate(self) -> None:
        """Make it the only member of its replica set, and wait until it takes writes."""
        await asyncio.to_thread(initiate, self.uri, timeout_seconds=_START_TIMEOUT_SECONDS)

    async def command(self, command: dict[str, Any]) -> dict[str, Any]:
        """Run an administrator's command on this very member, primary or not."""

        def run() -> dict[str, Any]:
            with MongoClient[dict[str, Any]](
                self.address, directConnection=True, serverSelectionTimeoutMS=5000
            ) as client:
                return dict(client.admin.command(command))

        return await asyncio.to_thread(run)

    async def fail_commands(self, commands: list[str], *, of: str, times: int, **how: Any) -> None:
        """Let the next commands of an application fail, as the fail point `failCommand` does."""
        data = {"failCommands": commands, "appName": of, **how}
        answer = await self.command(
            {"configureFailPoint": "failCommand", "mode": {"times": times}, "data": data}
        )
        self._failed_before = int(answer["count"])

    async def until_one_has_failed(self) -> None:
        """Wait until a command has failed; an error after a minute says that none came."""
        await self.command(
            {
                "waitForFailPoint": "failCommand",
                "timesEntered": self._failed_before + 1,
                "maxTimeMS": PATIENCE_SECONDS * 1000,
            }
        )

    async def stop_failing(self) -> int:
        """Let commands be; returns how many have failed."""
        answer = await self.command({"configureFailPoint": "failCommand", "mode": "off"})
        return int(answer["count"]) - self._failed_before
