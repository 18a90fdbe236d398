"""`python -m bankctl.local.mongod_accounts MONGOD FOLDER`: new data in which the stack's accounts are known.

Accounts can be made without one only before there is any. A mongod that did so at its port could be asked by
anybody on the machine first, so this one listens in a private folder, and ends before the real one starts.
ACCOUNTS in the environment is a JSON object of names and passwords.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pymongo

from bankctl.local.mongod import ADMINISTRATOR

_PATIENCE_SECONDS = 40.0


def make_accounts(mongod: str, folder: Path, accounts: dict[str, str]) -> None:
    """Make the data folder, the administrator, and an account for each daemon that may use its own database.

    Raises:
        PyMongoError: the mongod does not answer, or refuses.
    """
    folder.mkdir(mode=0o700)
    with tempfile.TemporaryDirectory(prefix="bankctl-") as private:
        socket = Path(private) / "mongod.sock"
        command = [mongod, "--dbpath", str(folder), "--bind_ip", str(socket), "--noscripting"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            _tell(socket, accounts)
        finally:
            process.terminate()
            process.wait()


def _tell(socket: Path, accounts: dict[str, str]) -> None:
    with pymongo.MongoClient[dict[str, Any]](
        f"mongodb://{quote_plus(str(socket))}", serverSelectionTimeoutMS=int(_PATIENCE_SECONDS * 1000)
    ) as client:
        for account, password in accounts.items():
            administers = account == ADMINISTRATOR
            database = "admin" if administers else account
            role = {"role": "root" if administers else "readWrite", "db": database}
            client[database].command("createUser", account, pwd=password, roles=[role])


def main() -> int:
    """Do it once."""
    make_accounts(sys.argv[1], Path(sys.argv[2]), json.loads(os.environ["ACCOUNTS"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
