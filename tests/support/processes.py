"""A banking_api of its own process beside one in the tests' process."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bankctl.local import ports
from tests.support.bank import CLOSED_PORT, Bank
from tests.support.daemon_keys import secret_variables


@contextmanager
def banking_process(bank: Bank, mongo_uri: str, log: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A banking_api of its own process over the bank's databases; yields its address and the process."""
    [port] = ports.pick(1)
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": bank.ledger.name,
        "KAFKA_BROKER": CLOSED_PORT,
        "USER_API_URL": bank.user_api,
        **secret_variables("banking_api", ""),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemons.banking_api"], env=environment, stdout=output, stderr=output
        )
    try:
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()
        process.wait(30)
