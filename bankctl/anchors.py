"""Heads of audit trails, stored on this machine, out of reach of anybody who rewrites a trail at the bank."""

import json
from pathlib import Path
from typing import Any

from bankctl import paths
from bankctl.config import Profile
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.files import write_private

Anchors = dict[str, dict[str, Any]]
_HASH_LENGTH = 64


def load_anchors(profile: Profile) -> Anchors:
    """The heads that the last verification on this machine kept; none before the first.

    Raises:
        CliError: the file is damaged.
    """
    path = _path(profile)
    if not path.exists():
        return {}
    try:
        return parse_anchors(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CliError(
            f"{path} is damaged: {error}",
            exit_status=ExitStatus.UNEXPECTED,
            hint="compare with an export kept elsewhere (--anchor FILE), then start again with --forget",
            code="anchors_damaged",
        ) from error


def save_anchors(profile: Profile, anchors: Anchors) -> Path:
    """Keep heads for the next verification."""
    path = _path(profile)
    write_private(path, (json.dumps(anchors, indent=2, sort_keys=True) + "\n").encode())
    return path


def read_anchor_file(path: Path) -> Anchors:
    """The heads of an earlier `export` or of `verify -o json`.

    Raises:
        CliError: it holds none.
    """
    try:
        return parse_anchors(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise usage_error(
            f"{path} holds no anchors: {error}", hint="`bankctl admin audit export` creates such a file"
        ) from error


def parse_anchors(text: str) -> Anchors:
    """The heads in a document, or in the last line of an export.

    Raises:
        ValueError: there are none.
    """
    stripped = text.strip()
    try:
        document = json.loads(stripped)
    except ValueError:
        document = json.loads(stripped.rpartition("\n")[2])
    heads = document.get("heads", document) if isinstance(document, dict) else None
    if not isinstance(heads, dict) or not heads:
        raise ValueError("no heads")
    if not all(_is_head(head) for head in heads.values()):
        raise ValueError("what should be a head has no count and hash")
    return heads


def _is_head(head: Any) -> bool:
    return (
        isinstance(head, dict)
        and isinstance(head.get("count"), int)
        and isinstance(head.get("hash"), str)
        and len(head["hash"]) == _HASH_LENGTH
    )


def _path(profile: Profile) -> Path:
    return paths.state_dir() / "anchors" / f"{profile.name}.json"
