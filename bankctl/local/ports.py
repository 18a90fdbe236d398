"""Ports of the loopback interface: which are free, and who holds the others."""

import random
import socket
from collections.abc import Collection
from dataclasses import dataclass

import psutil

LOOPBACK = "127.0.0.1"
# Below the range that systems hand to outgoing connections, so that a kept port is not taken by accident.
_CHOICE = range(20_000, 32_000)


@dataclass(frozen=True)
class Holder:
    """The process that listens on a port; pid and name are None when the system does not tell."""

    port: int
    pid: int | None = None
    name: str | None = None

    def __str__(self) -> str:
        if self.pid is None:
            return f"port {self.port} is in use by another process"
        return f"port {self.port} is in use by {self.name or 'a process'} (pid {self.pid})"


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def holder(port: int) -> Holder | None:
    """Who listens on the port; None when it is free."""
    if is_free(port):
        return None
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:  # macOS tells only root
        return Holder(port)
    for connection in connections:
        listens = connection.status == psutil.CONN_LISTEN
        if listens and connection.laddr and connection.laddr.port == port and connection.pid:
            try:
                return Holder(port, connection.pid, psutil.Process(connection.pid).name())
            except psutil.Error:
                return Holder(port, connection.pid)
    return Holder(port)


def pick(count: int, *, taken: Collection[int] = ()) -> list[int]:
    """Choose free ports.

    Raises:
        OSError: when too few are free.
    """
    chosen: list[int] = []
    for port in random.sample(_CHOICE, k=len(_CHOICE)):
        if len(chosen) == count:
            return chosen
        if port not in taken and is_free(port):
            chosen.append(port)
    raise OSError(f"only {len(chosen)} of {count} ports are free between {_CHOICE.start} and {_CHOICE.stop}")
