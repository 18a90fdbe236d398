"""`python -m daemons.shared.mongo_admin initiate|ping|accounts [URI]`: what a MongoDB needs before use.

Without URI the variable MONGO_URI is used, which keeps a password out of the process list.
"""

import argparse
import json
import os
import sys
import time
from typing import Any

import pymongo
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from daemons.contracts.mongo_accounts import ROLE, privileges

_NOT_INITIALIZED = 94
_ALREADY_INITIALIZED = 23
_REPLICA_SET = "rs0"
_ADMINISTRATOR = "root"


def ping(uri: str, *, timeout_seconds: float) -> None:
    """Wait until a primary answers.

    Raises:
        PyMongoError: none did in time.
    """
    milliseconds = int(timeout_seconds * 1000)
    with pymongo.MongoClient[dict[str, Any]](
        uri, serverSelectionTimeoutMS=milliseconds, heartbeatFrequencyMS=500
    ) as client:
        client.admin.command("ping")


def initiate(uri: str, *, timeout_seconds: float) -> None:
    """Make the server of the URI the only member of its replica set, and wait until it is primary.

    Doing it again changes nothing. A member that was moved to another port takes its new address.

    Raises:
        PyMongoError: the server does not answer, refuses, or does not become primary in time.
    """
    parsed = parse_uri(uri)
    [(host, port)] = parsed["nodelist"]
    address = f"{host}:{port}"
    account = {name: parsed[name] for name in ("username", "password") if parsed[name]}
    with pymongo.MongoClient[dict[str, Any]](
        host, port, directConnection=True, serverSelectionTimeoutMS=int(timeout_seconds * 1000), **account
    ) as client:
        try:
            config = client.admin.command("replSetGetConfig")["config"]
        except OperationFailure as error:
            if error.code != _NOT_INITIALIZED:
                raise
            _create(client, address)
        else:
            if config["members"][0]["host"] != address:
                config["members"][0]["host"] = address
                config["version"] += 1
                client.admin.command("replSetReconfig", config, force=True)
        _await_primary(client, timeout_seconds=timeout_seconds)


def make_accounts(uri: str, *, timeout_seconds: float) -> None:
    """Make the accounts of a server that has none: ACCOUNTS is a JSON object of names and passwords.

    `root` administers the server; any other is a daemon's and may do, in the database of its name alone,
    what `daemons.contracts.mongo_accounts` says.

    Raises:
        PyMongoError: the server does not answer, or refuses.
    """
    with pymongo.MongoClient[dict[str, Any]](
        uri, serverSelectionTimeoutMS=int(timeout_seconds * 1000)
    ) as client:
        for account, password in json.loads(os.environ["ACCOUNTS"]).items():
            administers = account == _ADMINISTRATOR
            database = "admin" if administers else account
            role = {"role": "root" if administers else ROLE, "db": database}
            if not administers:
                client[database].command("createRole", ROLE, privileges=privileges(account), roles=[])
            client[database].command("createUser", account, pwd=password, roles=[role])


def _create(client: pymongo.MongoClient[dict[str, Any]], address: str) -> None:
    try:
        client.admin.command(
            "replSetInitiate", {"_id": _REPLICA_SET, "members": [{"_id": 0, "host": address}]}
        )
    except OperationFailure as error:
        if error.code != _ALREADY_INITIALIZED:
            raise


def _await_primary(client: pymongo.MongoClient[dict[str, Any]], *, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not client.admin.command("hello")["isWritablePrimary"]:
        if time.monotonic() > deadline:
            raise PyMongoError(f"no primary within {timeout_seconds:g} s")
        time.sleep(0.02)


def main() -> int:
    """Run the verb; status 1 and one line on stderr when it fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["initiate", "ping", "accounts"])
    parser.add_argument("uri", nargs="?", default=os.environ.get("MONGO_URI", ""))
    parser.add_argument("--timeout-seconds", type=float, default=20.0)
    options = parser.parse_args()
    action = {"initiate": initiate, "ping": ping, "accounts": make_accounts}[options.verb]
    try:
        action(options.uri, timeout_seconds=options.timeout_seconds)
    except (PyMongoError, ValueError) as error:
        # The driver adds the whole topology, which says nothing to a person.
        reason = str(error).split(" (configured timeouts", 1)[0]
        print(f"MongoDB does not answer: {reason}"[:500], file=sys.stderr)  # noqa: T201 - a command line of its own
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
