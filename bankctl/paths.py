"""Where bankctl keeps its files: the platform's own folders, or all of them under BANKCTL_HOME."""

import os
from pathlib import Path

import platformdirs

_APPLICATION = "bankctl"
_PRIVATE = 0o700


def _private(folder: Path) -> Path:
    """Make the folder if it is missing, readable by its owner alone, and return it."""
    folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(_PRIVATE)
    return folder


def _home(kind: str) -> Path | None:
    home = os.environ.get("BANKCTL_HOME")
    return Path(home).expanduser().absolute() / kind if home else None


def config_dir() -> Path:
    """The folder of profiles and settings (mode 0700; made when missing)."""
    return _private(_home("config") or platformdirs.user_config_path(_APPLICATION))


def data_dir() -> Path:
    """The folder of what must last, such as local stacks (mode 0700; made when missing)."""
    return _private(_home("data") or platformdirs.user_data_path(_APPLICATION))


def state_dir() -> Path:
    """The folder of sessions and of transfers under way (mode 0700; made when missing)."""
    return _private(_home("state") or platformdirs.user_state_path(_APPLICATION))


def cache_dir() -> Path:
    """The folder of what can be fetched again (mode 0700; made when missing).

    BANKCTL_HOME leaves it where it is, so that an isolated run does not download Kafka again;
    BANKCTL_CACHE moves it.
    """
    given = os.environ.get("BANKCTL_CACHE")
    return _private(
        Path(given).expanduser().absolute() if given else platformdirs.user_cache_path(_APPLICATION)
    )
