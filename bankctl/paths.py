"""The directories the command line keeps its files in, one set per user of the machine.

`BANKCTL_HOME` puts all of them below one directory, so that a test or a second installation touches nothing
of the first.
"""

import os
from pathlib import Path

HOME_VARIABLE = "BANKCTL_HOME"


def _directory(kind: str) -> Path:
    home = os.environ.get(HOME_VARIABLE)
    if home:
        return Path(home).expanduser().absolute() / kind
    # Only looked up when no home is given; `--version` and `--help` never come here.
    import platformdirs  # noqa: PLC0415

    found: Path = getattr(platformdirs, f"user_{kind}_path")("bankctl", appauthor=False)
    return found


def config_dir() -> Path:
    """Profiles."""
    return _directory("config")


def data_dir() -> Path:
    """Data of the local stack."""
    return _directory("data")


def state_dir() -> Path:
    """Sessions, pending transfers and results of files of transfers."""
    return _directory("state")


def cache_dir() -> Path:
    """What can be fetched again."""
    return _directory("cache")
