"""A real Valkey for tests, which can be killed and paused."""

import socket
from pathlib import Path

from bankctl.local import ports
from bankctl.local.cache import find_valkey
from tests.faults.processes import ServerProcess
from tests.support.waiting import eventually

PASSWORD = "the password of the cache of these tests"


class ValkeyServer(ServerProcess):
    """One server without a disk."""

    def __init__(self, folder: Path) -> None:
        [self.port] = ports.pick(1)
        command = [
            str(find_valkey()),
            *("--bind", ports.LOOPBACK, "--port", str(self.port), "--dir", str(folder)),
            *("--save", "", "--appendonly", "no", "--requirepass", PASSWORD),
        ]
        super().__init__("valkey", command, folder / "valkey.log")
        self.uri = f"valkey://:{PASSWORD.replace(' ', '%20')}@{ports.LOOPBACK}:{self.port}/0"

    async def until_it_serves(self) -> None:
        """Wait until the port accepts connections."""
        await eventually(self._accepts, found=self.log_tail)

    async def _accepts(self) -> bool:
        try:
            socket.create_connection((ports.LOOPBACK, self.port), timeout=1).close()
        except OSError:
            return False
        return True
