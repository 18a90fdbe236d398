"""A real MongoDB for tests: one mongod per run, in a replica set because transactions need one."""

import contextlib
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from bankctl.local.mongod import WRITE_BACK, find_mongod
from daemons.shared.mongo_admin import initiate

_START_TIMEOUT_SECONDS = 60
_STOP_TIMEOUT_SECONDS = 20


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URI of the run's own mongod, primary of its replica set; it starts once and stops with the run."""
    folder = tmp_path_factory.mktemp("mongo")
    with running_mongod(folder) as uri:
        yield uri


@pytest.fixture
def database_name() -> str:
    """Name of a database that no other test uses, so that tests need not clean up."""
    return f"test_{uuid.uuid4().hex}"


@contextlib.contextmanager
def running_mongod(folder: Path) -> Iterator[str]:
    """Run a mongod with its data and log in the folder; yields its URI once it takes writes."""
    port = _free_port()
    log = folder / "mongod.log"
    data = folder / "data"
    data.mkdir()
    command = [
        *(str(find_mongod()), "--dbpath", str(data), "--logpath", str(log)),
        *("--port", str(port), "--bind_ip", "127.0.0.1", "--nounixsocket", "--replSet", "rs0"),
        *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64", *WRITE_BACK),
        # The only member has nobody to hand over to: the default is to wait 15 s for that.
        *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        # As in production, docs/adr/0003: what a killed daemon left open must not block accounts.
        *("--setParameter", "transactionLifetimeLimitSeconds=10"),
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    uri = f"mongodb://127.0.0.1:{port}/?replicaSet=rs0"
    try:
        initiate(uri, timeout_seconds=_START_TIMEOUT_SECONDS)
        yield uri
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
