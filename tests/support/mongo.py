"""A real MongoDB for tests: one mongod per run, in a replica set because transactions need one."""

import contextlib
import os
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from bankctl.local import ports
from bankctl.local.mongod import find_mongod, mongod_command, uri
from daemons.shared.mongo import Client
from daemons.shared.mongo_admin import initiate
from tests.support.ending import stop

GIVEN_SERVER = "BANKCTL_TESTS_MONGO_URI"
"""Names a server that outlives the run; `make mutants` starts one for its thousands of short runs."""

_START_TIMEOUT_SECONDS = 60
_STOP_TIMEOUT_SECONDS = 20


@pytest.fixture(scope="session")
def mongo_uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URI of the run's own mongod, primary of its replica set; it starts once and stops with the run."""
    if given := os.environ.get(GIVEN_SERVER):
        yield given
        return
    folder = tmp_path_factory.mktemp("mongo")
    with running_mongod(folder) as address:
        yield address


@pytest.fixture
def database_name() -> str:
    """Name of a database that no other test uses, so that tests need not clean up."""
    return f"test_{uuid.uuid4().hex}"


@contextlib.asynccontextmanager
async def server_parameter(client: Client, name: str, value: Any) -> AsyncIterator[None]:
    """Give a parameter of the server another value while the block runs."""
    before = (await client.admin.command({"getParameter": 1, name: 1}))[name]
    await client.admin.command({"setParameter": 1, name: value})
    try:
        yield
    finally:
        await client.admin.command({"setParameter": 1, name: before})


@contextlib.contextmanager
def running_mongod(folder: Path) -> Iterator[str]:
    """Run a mongod with its data and log in the folder; yields its URI once it takes writes."""
    [port] = ports.pick(1)
    data = folder / "data"
    data.mkdir()
    command = [
        *(*mongod_command(find_mongod(), data, port), "--logpath", str(folder / "mongod.log")),
        *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"),
        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
        # As in production, docs/adr/0003: what a killed daemon left open must not block accounts.
        *("--setParameter", "transactionLifetimeLimitSeconds=10"),
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        initiate(uri(port), timeout_seconds=_START_TIMEOUT_SECONDS)
        yield uri(port)
    finally:
        stop(process, patience_seconds=_STOP_TIMEOUT_SECONDS)
