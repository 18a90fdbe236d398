"""What this machine holds of a bank's journal: the last proven checkpoint and the keys that may sign."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bankctl import paths
from bankctl.config import Profile
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.files import write_private
from bankctl.receipt import InvalidProofError, require_consistent
from daemons.contracts.checkpoint import CheckpointKey, SignedCheckpoint, open_note, read_key


@dataclass(frozen=True, slots=True)
class ProvenEnd:
    """Where the last proof on this machine ended, so that the next one can go on from there."""

    size: int
    """How many seals the journal had."""
    events_after: int
    """All later events stand behind this position at the notifier."""


@dataclass(slots=True)
class Held:
    """Out of reach of anybody who rewrites the bank's journal."""

    keys: list[CheckpointKey] = field(default_factory=list)
    checkpoint: SignedCheckpoint | None = None
    proven: ProvenEnd | None = None


def load_held(profile: Profile) -> Held:
    """What was kept for a profile; nothing before the first proof.

    Raises:
        CliError: the file is damaged.
    """
    path = _path(profile)
    if not path.exists():
        return Held()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        keys = [read_key(text) for text in kept["keys"]]
        note = kept["checkpoint"]
        proven = kept["proven"]
        return Held(
            keys,
            None if note is None else open_note(note, keys),
            None if proven is None else ProvenEnd(int(proven["size"]), int(proven["events_after"])),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise CliError(
            f"{path} is damaged: {error}",
            exit_status=ExitStatus.UNEXPECTED,
            hint="compare with a checkpoint kept elsewhere (`bankctl verify`), then prove with --forget",
            code="head_damaged",
        ) from error


def save_held(profile: Profile, held: Held) -> Path:
    """Keep what was proven for the next time."""
    path = _path(profile)
    note = None if held.checkpoint is None else held.checkpoint.note
    content = {
        "keys": [key.text() for key in held.keys],
        "checkpoint": note,
        "proven": None if held.proven is None else asdict(held.proven),
    }
    write_private(path, (json.dumps(content, indent=2) + "\n").encode())
    return path


def opened(note: str, held: Held, published: Sequence[str]) -> SignedCheckpoint:
    """Open a note with the keys that are kept; where none is yet, with those that the bank publishes.

    A key that is not kept is taken only if the bank publishes it together with one that is, and what it has
    signed goes on from what is kept.

    Raises:
        InvalidProofError: none of them has signed it.
    """
    offered = [read_key(text) for text in published]
    known = [key for key in offered if key in held.keys]
    try:
        return open_note(note, held.keys if held.keys and not known else [*held.keys, *offered])
    except ValueError as error:
        raise InvalidProofError(f"the checkpoint: {error}") from error


def follow(held: Held, signed: SignedCheckpoint, proof: dict[str, Any] | None) -> None:
    """Take a newer checkpoint for the one held, once it was shown to go on from it.

    Raises:
        InvalidProofError: the bank's journal is not the one that was proven here.
    """
    if held.checkpoint is not None:
        require_consistent([proof] if proof else [], held.checkpoint, signed)
    if signed.key not in held.keys:
        held.keys.insert(0, signed.key)
    if held.checkpoint is None or signed.checkpoint.size >= held.checkpoint.checkpoint.size:
        held.checkpoint = signed


def read_key_option(text: str) -> CheckpointKey:
    """The key that was given, or that a file holds.

    Raises:
        CliError: it is none.
    """
    try:
        path = Path(text)
        return read_key(path.read_text(encoding="utf-8") if path.is_file() else text)
    except (OSError, ValueError) as error:
        raise usage_error(
            f"--key: {error}", hint="`bankctl admin checkpoints keys` shows the bank's keys"
        ) from error


def _path(profile: Profile) -> Path:
    return paths.state_dir() / "heads" / f"{profile.name}.json"
