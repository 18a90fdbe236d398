"""MongoDB as a process of this machine: one member of a replica set, because transactions need one."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bankctl.errors import CliError, ExitStatus
from bankctl.files import write_private
from bankctl.installation import how_to_install
from bankctl.local import ports
from bankctl.local.daemons import DAEMONS
from bankctl.local.layout import Layout
from bankctl.local.part import Part, Step
from bankctl.local.settings import Settings

WRITE_BACK = ("--wiredTigerEngineConfigString", "eviction_dirty_target=20,eviction_dirty_trigger=30")
"""Changed pages wait for the checkpoint; they are not written again and again before it (docs/adr/0018)."""

_OLDEST = (6, 0)


def find_mongod() -> Path:
    """The mongod on PATH when it is at least 6.0, else the packaged one.

    Raises:
        CliError: there is none.
    """
    on_path = shutil.which("mongod")
    if on_path and _version(on_path) >= _OLDEST:
        return Path(on_path)
    # The package holds nothing but the binary; its parent package may be a large one, so neither is imported.
    for folder in (Path(root) / "fiftyone" / "db" / "bin" for root in sys.path if root):
        if (folder / "mongod").is_file():
            return folder / "mongod"
    raise CliError(
        "MongoDB is missing: neither PATH nor the packages have mongod 6.0 or newer",
        exit_status=ExitStatus.UNEXPECTED,
        hint=f"install it with: {how_to_install('local')} (or set MONGO_URI to use one that runs)",
        code="mongod_missing",
    )


def _version(binary: str) -> tuple[int, ...]:
    try:
        answer = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    found = re.search(r"db version v(\d+)\.(\d+)", answer.stdout)
    return tuple(int(number) for number in found.groups()) if found else (0,)


ADMINISTRATOR = "root"


def uri(port: int, account: str | None = None, password: str = "") -> str:
    """How a mongod of this machine is reached; an account is known in the database of its name."""
    if account is None:
        return f"mongodb://{ports.LOOPBACK}:{port}/?replicaSet=rs0"
    database = "admin" if account == ADMINISTRATOR else account
    return f"mongodb://{account}:{password}@{ports.LOOPBACK}:{port}/{database}?replicaSet=rs0"


def mongod_command(binary: Path | str, data: Path, port: int) -> list[str]:
    """Return what starts a mongod as the bank runs each: on loopback only, its data in the folder."""
    return [
        *(str(binary), "--dbpath", str(data), "--port", str(port)),
        *("--bind_ip", ports.LOOPBACK, "--nounixsocket", "--replSet", "rs0", *WRITE_BACK),
        # The packaged one is old: what nobody needs here is off.
        *("--noscripting", "--networkMessageCompressors", "disabled"),
        # The only member has nobody to hand over to: the default is to wait 15 s for that.
        *("--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100"),
    ]


def mongod_part(layout: Layout, settings: Settings, binary: str) -> Part:
    """The part that serves MongoDB, to those alone who have an account; writes its key file."""
    folder, port = layout.root / "mongo", settings.ports["mongod"]
    key_file = folder / "keyfile"
    write_private(key_file, settings.password("mongod", "keyfile").encode())
    accounts = {name: settings.password("mongod", name) for name in (ADMINISTRATOR, *DAEMONS)}
    return Part(
        name="mongod",
        port=port,
        command=[
            *mongod_command(binary, folder / "data", port),
            *("--keyFile", str(key_file), "--setParameter", "enableLocalhostAuthBypass=false"),
            *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "256"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            # Ours last 8 s at most; a longer one has lost its daemon and blocks accounts (docs/adr/0003).
            *("--setParameter", "transactionLifetimeLimitSeconds=10"),
        ],
        once=Step(
            command=[sys.executable, "-m", "bankctl.local.mongod_accounts", binary, str(folder / "data")],
            folder=folder / "data",
            marker=folder / "prepared",
            environment={"ACCOUNTS": json.dumps(accounts)},
        ),
        confirm=[sys.executable, "-m", "daemons.shared.mongo_admin", "initiate"],
        confirm_environment={"MONGO_URI": uri(port, ADMINISTRATOR, accounts[ADMINISTRATOR])},
        stop_rank=2,
    )
