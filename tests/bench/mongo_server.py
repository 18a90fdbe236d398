"""The run's own mongod: default size of cache, journaled, on a real disk."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from pymongo.errors import PyMongoError

from bankctl.local import ports
from bankctl.local.mongod import find_mongod, mongod_command, uri
from daemons.shared.mongo_admin import initiate
from tests.support.ending import stop

_START_TIMEOUT_SECONDS = 60
_STOP_TIMEOUT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class MongoServer:
    """A running mongod."""

    uri: str
    binary: str
    process: psutil.Process


@contextlib.contextmanager
def running_mongo(folder: Path) -> Iterator[MongoServer]:
    """Run a mongod with its data in the folder.

    What bears on speed is mongod's default, but for when pages are written back: that is the bank's.
    """
    data = folder / "mongo"
    data.mkdir()
    [port] = ports.pick(1)
    binary = str(find_mongod())
    command = [*mongod_command(binary, data, port), "--logpath", str(folder / "mongod.log")]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        _await_primary(uri(port))
        yield MongoServer(uri(port), binary, psutil.Process(process.pid))
    finally:
        stop(process, patience_seconds=_STOP_TIMEOUT_SECONDS)


def _await_primary(address: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    while True:
        try:
            initiate(address, timeout_seconds=_START_TIMEOUT_SECONDS)
        except PyMongoError:
            if time.monotonic() > deadline:
                raise
        else:
            return
