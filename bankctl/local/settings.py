"""What a stack keeps for itself: its ports and its secrets (stack.json, mode 0600)."""

import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.files import write_private
from bankctl.local import ports
from bankctl.local.layout import Layout
from bankctl.local.service_keys import CALLING_DAEMONS, make_key

DEFAULT_PORTS: Mapping[str, int] = {
    "gateway": 8443,
    "user_api": 8101,
    "banking_api": 8102,
    "ledger": 8112,
    "notifier": 8103,
    "mongod": 27117,
    "kafka": 29092,
    "kafka_controller": 29093,
    "mail": 8125,
    "cache": 6479,
}
DEFAULT_STACK = "local"
_LARGEST_PORT = 65_535


class PortChoice(StrEnum):
    """How ports are chosen: the well-known ones, or any that are free, chosen once and kept."""

    DEFAULT = "default"
    AUTO = "auto"


@dataclass(frozen=True)
class Settings:
    """The identity, ports and secrets of one stack."""

    id: str
    ports: dict[str, int]
    jwt_secret: str
    service_keys: dict[str, str]
    """The private key of each daemon that calls another; what user_api has of it is the public key."""
    checkpoint_key: str
    """The private key with which banking_api signs checkpoints of its journal."""

    def password(self, server: str, account: str) -> str:
        """The password of an account at one of the stack's own servers."""
        named = f"{server}/{account}".encode()
        return hmac.new(self.jwt_secret.encode(), named, hashlib.sha256).hexdigest()

    def __repr__(self) -> str:
        return f"Settings(id={self.id!r}, ports={self.ports!r})"


def load(layout: Layout) -> Settings | None:
    """Read stack.json; None when the stack was never started.

    Raises:
        CliError: the file is damaged.
    """
    try:
        kept = json.loads(layout.settings.read_text())
        return Settings(
            kept["id"],
            {name: int(kept["ports"][name]) for name in DEFAULT_PORTS},
            kept["jwt_secret"],
            {name: kept["service_keys"][name] for name in CALLING_DAEMONS},
            kept["checkpoint_key"],
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise CliError(
            f"{layout.settings} is damaged: {error}",
            exit_status=ExitStatus.UNEXPECTED,
            hint=f"restore it, or start again: `bankctl dev reset --stack {layout.name}`",
            code="stack_damaged",
        ) from error


def save(layout: Layout, settings: Settings) -> None:
    """Write stack.json in one step."""
    layout.create()
    write_private(layout.settings, json.dumps(asdict(settings), indent=2).encode())


def choose(
    layout: Layout, kept: Settings | None, choice: PortChoice | None, given: Mapping[str, int] | None = None
) -> Settings:
    """The settings to run with: the kept ones where nothing else is asked for.

    A new stack named "local" gets the default ports, any other free ones, so that stacks live side by side.

    Raises:
        CliError: a given port is invalid, or its part is unknown.
    """
    given = given or {}
    for name, port in given.items():
        if name not in DEFAULT_PORTS or not 0 < port <= _LARGEST_PORT:
            raise usage_error(
                f"--port {name}={port} can't be used",
                hint=f"give PART=NUMBER with a part of {', '.join(DEFAULT_PORTS)}",
                code="invalid_port",
            )
    settings = kept or Settings(
        str(uuid.uuid4()),
        {},
        secrets.token_urlsafe(48),
        {name: make_key() for name in CALLING_DAEMONS},
        make_key(),
    )
    if choice is None and kept is None and layout.name != DEFAULT_STACK:
        choice = PortChoice.AUTO
    chosen = dict(kept.ports) if kept and choice is not PortChoice.DEFAULT else dict(DEFAULT_PORTS)
    if choice is PortChoice.AUTO:
        busy = [name for name in DEFAULT_PORTS if kept is None or not ports.is_free(chosen[name])]
        busy = [name for name in busy if name not in given]
        chosen.update(zip(busy, ports.pick(len(busy), taken=chosen.values()), strict=True))
    return replace(settings, ports={**chosen, **given})
