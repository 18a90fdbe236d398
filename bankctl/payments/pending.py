"""Transfers whose outcome is not known yet, on disk before they are sent.

Each has a file with its idempotency key and its request. Sending the same request with the same key pays at
most once, so whatever happened to the line or to this process, `bankctl transactions retry` can finish it.
"""

import hashlib
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bankctl import paths
from bankctl.errors import usage_error
from bankctl.files import ensure_private_directory, sync_directory, write_private
from bankctl.render import messages
from daemons.contracts.vocabulary import fault_of_idempotency_key

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_TEXTS = 7


@dataclass(frozen=True, slots=True)
class PendingTransfer:
    """A transfer or funding on its way: to which bank, by whom, and exactly what was asked.

    The bank is known by its own id, so that the transfer is found again when the bank's address has changed.
    """

    key: str
    bank_id: str
    user_id: str
    path: str
    request: Mapping[str, Any]
    written_at: str


def pending_directory() -> Path:
    """Where the transfers on their way are kept."""
    return paths.state_dir() / "pending"


def pending_file(key: str) -> Path:
    """The file of a key; keys that make no good file name are hashed."""
    name = key if _PLAIN_NAME.fullmatch(key) else hashlib.sha256(key.encode()).hexdigest()
    return pending_directory() / f"{name}.json"


def check_key(key: str) -> str:
    """Return `key` if it may be an idempotency key.

    Raises:
        CliError: it is empty, too long, or not printable ASCII without spaces.
    """
    if fault := fault_of_idempotency_key(key):
        raise usage_error(f"an idempotency key {fault}", code="invalid_key")
    return key


def write_pending(
    key: str, *, bank_id: str, user_id: str, path: str, request: Mapping[str, Any]
) -> PendingTransfer:
    """Keep a transfer before it is sent; on return it is on the disk.

    Raises:
        CliError: the key is already that of another transfer on its way.
    """
    pending = PendingTransfer(key, bank_id, user_id, path, dict(request), datetime.now(UTC).isoformat())
    earlier = load_pending(key)
    if earlier is not None and replace(earlier, written_at=pending.written_at) != pending:
        raise usage_error(
            f"the idempotency key {key!r} belongs to another transfer whose outcome is still unknown",
            hint=f"`bankctl transactions retry {shlex.quote(key)}` settles it",
            code="idempotency_key_pending",
        )
    ensure_private_directory(pending_directory())
    write_private(pending_file(key), json.dumps(asdict(pending)).encode())
    return pending


def load_pending(key: str) -> PendingTransfer | None:
    """The transfer on its way with that key."""
    return _read(pending_file(key))


def list_pending(*, bank_id: str, user_id: str) -> list[PendingTransfer]:
    """The transfers on their way of one user at one bank, oldest first."""
    found = [_read(path) for path in pending_directory().glob("*.json")]
    mine = [item for item in found if item is not None and (item.bank_id, item.user_id) == (bank_id, user_id)]
    return sorted(mine, key=lambda item: item.written_at)


def remove_pending(key: str) -> None:
    """Forget a transfer: its outcome is known.

    What is left behind does no harm, for the bank answers the same key with what it did.
    """
    path = pending_file(key)
    try:
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_directory(path.parent)
    except OSError as error:
        messages.warn(
            f"the outcome is known, but {path} could not be removed: {error.strerror}; "
            "`bankctl transactions retry` will find it and pay nothing twice"
        )


def _read(path: Path) -> PendingTransfer | None:
    try:
        return _parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise usage_error(
            f"{path} cannot be read: {error}",
            hint="it holds a transfer that may have been paid: check `bankctl transactions list`, "
            "then delete the file",
            code="broken_pending_file",
        ) from error


def _parse(content: bytes) -> PendingTransfer:
    pending = PendingTransfer(**json.loads(content))
    texts: list[Any] = [pending.key, pending.bank_id, pending.user_id, pending.path, pending.written_at]
    if isinstance(pending.request, dict):
        texts += [pending.request.get("amount"), pending.request.get("currency")]
    if len(texts) != _TEXTS or not all(isinstance(text, str) for text in texts):
        raise TypeError("it does not hold a transfer")
    return pending
