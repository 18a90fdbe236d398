"""Where a stack keeps what: one folder holds all of it, so that deleting the folder deletes the stack."""

import re
from dataclasses import dataclass
from pathlib import Path

from bankctl import paths
from bankctl.errors import usage_error
from bankctl.files import ensure_private_directory

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_ROTATE_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True)
class Layout:
    """The files of the stack in `root`."""

    name: str
    root: Path

    @classmethod
    def of(cls, name: str) -> "Layout":
        """The layout of the stack with this name; nothing is created.

        Raises:
            CliError: the name is not one that can be a folder's and a profile's.
        """
        if not _NAME.fullmatch(name):
            raise usage_error(
                f"'{name}' can't name a stack: use up to 32 of a-z, 0-9, '-' and '_'", code="invalid_stack"
            )
        return cls(name, paths.data_dir() / "stacks" / name)

    @property
    def mark(self) -> str:
        """What the environment of each of the stack's processes says: a folder holds one stack at a time."""
        return str(self.root.resolve())

    @property
    def settings(self) -> Path:
        """Ports and secrets."""
        return self.root / "stack.json"

    @property
    def intent(self) -> Path:
        """What the last `up` asked the supervisor to run."""
        return self.root / "run" / "intent.json"

    @property
    def state(self) -> Path:
        """What the supervisor says runs."""
        return self.root / "run" / "state.json"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the one supervisor for as long as it lives."""
        return self.root / "run" / "supervisor.lock"

    @property
    def command_lock(self) -> Path:
        """Held by the command that changes the stack; outside the run folder, which `reset` deletes."""
        return self.root.parent / f".{self.name}.lock"

    @property
    def certificate(self) -> Path:
        """The root certificate of the gateway, which the CLI profile trusts."""
        return self.root / "caddy" / "pki" / "authorities" / "local" / "root.crt"

    def data(self, part: str) -> Path | None:
        """The data folder of a part; None for the daemons, which keep none."""
        folders = {"mongod": "mongo", "kafka": "kafka", "gateway": "caddy", "mail": "mail", "cache": "cache"}
        folder = folders.get(part)
        return self.root / folder if folder else None

    def log(self, part: str) -> Path:
        """The log of a part, or of the supervisor."""
        return self.root / "logs" / f"{part}.log"

    def create(self) -> None:
        """Make the folders, readable by their owner alone."""
        for folder in ("", "run", "logs", "mongo", "kafka", "caddy"):
            ensure_private_directory(self.root / folder)

    def rotate(self, part: str) -> Path:
        """Set a log past 10 MB aside, keeping one old one, and return where to write."""
        log = self.log(part)
        if log.exists() and log.stat().st_size > _ROTATE_BYTES:
            log.replace(log.with_suffix(".log.1"))
        return log
