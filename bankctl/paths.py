"""Where bankctl keeps its files: the platform's own folders, or all of them under BANKCTL_HOME."""

import os
from pathlib import Path

import platformdirs

from bankctl.errors import CliError, usage_error
from bankctl.files import ensure_private_directory

HOME_VARIABLE, CACHE_VARIABLE = "BANKCTL_HOME", "BANKCTL_CACHE"
_APPLICATION = "bankctl"


def config_dir() -> Path:
    """The folder of profiles and settings (mode 0700; made when missing)."""
    return _folder("config", platformdirs.user_config_path(_APPLICATION))


def data_dir() -> Path:
    """The folder of what must last, such as local stacks (mode 0700; made when missing)."""
    return _folder("data", platformdirs.user_data_path(_APPLICATION))


def state_dir() -> Path:
    """The folder of sessions and of transfers under way (mode 0700; made when missing)."""
    return _folder("state", platformdirs.user_state_path(_APPLICATION))


def cache_dir() -> Path:
    """The folder of what can be fetched again (mode 0700; made when missing).

    BANKCTL_HOME leaves it where it is, so that an isolated run does not download Kafka again;
    BANKCTL_CACHE moves it.
    """
    given = _given(CACHE_VARIABLE)
    if given is not None:
        return _made(given, CACHE_VARIABLE)
    return _usual("cache", platformdirs.user_cache_path(_APPLICATION), CACHE_VARIABLE)


def _folder(kind: str, usual: Path) -> Path:
    home = _given(HOME_VARIABLE)
    if home is not None:
        return _made(home / kind, HOME_VARIABLE)
    return _usual(kind, usual, HOME_VARIABLE)


def _usual(kind: str, folder: Path, variable: str) -> Path:
    """The platform's folder, which it finds by HOME where no variable of its own says otherwise."""
    if not folder.is_absolute() or os.environ.get("HOME") == "":
        raise _no_folder("HOME", f"does not say where the {kind} folder is", _instead(variable))
    return _made(folder, variable)


def _given(variable: str) -> Path | None:
    value = os.environ.get(variable)
    if not value:
        return None
    try:
        return Path(value).expanduser().absolute()
    except (RuntimeError, OSError) as error:
        raise _no_folder(
            variable, f"is {value!r}, which is not a folder: {error}", f"correct or unset {variable}"
        ) from error


def _made(folder: Path, variable: str) -> Path:
    try:
        return ensure_private_directory(folder)
    except OSError as error:
        raise usage_error(
            f"the folder {folder} cannot be used: {error.strerror}",
            hint=_instead(variable),
            code="unusable_path",
        ) from error


def _instead(variable: str) -> str:
    return f"set {variable} to a folder that you can write to, or fix this one"


def _no_folder(variable: str, fault: str, remedy: str) -> CliError:
    return usage_error(f"{variable} {fault}", hint=remedy, code="invalid_environment")
