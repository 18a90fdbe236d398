"""`python -m bankctl.local.mongod_accounts MONGOD FOLDER`: new data in which the stack's accounts are known.

Accounts can be made without one only before there is any. A mongod that did so at its port could be asked by
anybody on the machine first, so this one listens in a private folder, and ends before the real one starts.
ACCOUNTS in the environment is what `daemons.shared.mongo_admin accounts` makes of it.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote_plus


def main() -> int:
    """Make the data folder and the accounts in it; returns the status of making these."""
    mongod, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(mode=0o700)
    with tempfile.TemporaryDirectory(prefix="bankctl-") as private:
        socket = Path(private) / "mongod.sock"
        command = [mongod, "--dbpath", str(folder), "--bind_ip", str(socket), "--noscripting"]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        try:
            uri = f"mongodb://{quote_plus(str(socket))}"
            admin = [sys.executable, "-m", "daemons.shared.mongo_admin", "accounts", uri]
            return subprocess.run([*admin, "--timeout-seconds", "40"], check=False).returncode
        finally:
            process.terminate()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
