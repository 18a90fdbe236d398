"""Profiles: which bank the command line talks to, kept in `config.toml`.

default_profile = "local"

[profiles.local]
url = "https://localhost:8443"
ca_file = "/home/ann/.local/share/bankctl/.../root.crt"
"""

import os
import re
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from bankctl import paths
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.files import ensure_private_directory, write_private

PROFILE_VARIABLE = "BANKCTL_PROFILE"
# A profile's name is also the name of its session file.
_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Profile:
    """One bank: the HTTPS origin of its gateway, and the certificate to trust beside the system's."""

    name: str
    url: str
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """All profiles and the one used when none is named."""

    default_profile: str | None = None
    profiles: dict[str, Profile] = field(default_factory=dict)


def config_file() -> Path:
    """Where the profiles are kept."""
    return paths.config_dir() / "config.toml"


def check_profile_name(name: str) -> str:
    """Return `name` if it may name a profile.

    Raises:
        CliError: it is empty, too long, or could leave the directory its session is kept in.
    """
    if not _PROFILE_NAME.fullmatch(name):
        raise usage_error(
            f"{name!r} is no profile name: use up to 64 letters, digits, '_', '.' or '-'",
            code="invalid_profile_name",
        )
    return name


def check_url(url: str) -> str:
    """Return the origin `url` stands for, without a trailing slash.

    Raises:
        CliError: it is not an https origin; plain http would send the session in the clear.
    """
    parts = urlsplit(url)
    try:
        valid = parts.scheme == "https" and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or parts.username or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise usage_error(
            f"{url!r} is no https origin",
            hint="give the gateway's address, such as https://bank.example:8443; http is refused",
            code="invalid_url",
        )
    return f"https://{parts.netloc}"


def load_config() -> Config:
    """Read the profiles; none are configured when the file does not exist.

    Raises:
        CliError: the file cannot be read or does not have the form above.
    """
    path = config_file()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise _broken(path, str(error)) from error
    tables = document.get("profiles", {})
    default = document.get("default_profile")
    if not isinstance(tables, dict) or not (default is None or isinstance(default, str)):
        raise _broken(path, "profiles must be tables and default_profile a name")
    profiles = {}
    for name, table in tables.items():
        if not isinstance(table, dict) or not isinstance(table.get("url"), str):
            raise _broken(path, f"profile {name!r} has no url")
        ca_file = table.get("ca_file")
        if not (ca_file is None or isinstance(ca_file, str)):
            raise _broken(path, f"ca_file of profile {name!r} is no path")
        profiles[check_profile_name(name)] = Profile(
            name, check_url(table["url"]), Path(ca_file) if ca_file else None
        )
    return Config(default, profiles)


def _broken(path: Path, why: str) -> CliError:
    return usage_error(
        f"{path} cannot be used: {why}",
        hint="mend the file, or delete it and run `bankctl dev up`",
        code="invalid_config",
    )


def save_config(config: Config) -> None:
    """Replace the configuration file as a whole."""
    # Only writing needs it; every start of the command line reads.
    import tomli_w  # noqa: PLC0415

    document: dict[str, object] = {}
    if config.default_profile:
        document["default_profile"] = config.default_profile
    document["profiles"] = {
        name: {"url": profile.url, **({"ca_file": str(profile.ca_file)} if profile.ca_file else {})}
        for name, profile in config.profiles.items()
    }
    ensure_private_directory(paths.config_dir())
    write_private(config_file(), tomli_w.dumps(document).encode())


def upsert_profile(name: str, *, url: str, ca_file: Path | None, make_default_if_none: bool = True) -> None:
    """Create or replace the profile `name`; it becomes the default one if there is none yet.

    Raises:
        CliError: the name or the url is not usable, or the present file is broken.
    """
    config = load_config()
    profile = Profile(check_profile_name(name), check_url(url), ca_file.absolute() if ca_file else None)
    default = config.default_profile
    if make_default_if_none and not default:
        default = name
    save_config(replace(config, default_profile=default, profiles={**config.profiles, name: profile}))


def move_profiles(ca_file: Path, *, url: str) -> list[str]:
    """Let every profile that trusts this certificate talk to `url`; returns the names of those that moved.

    A local bank whose ports changed is still the same bank for all its profiles.
    """
    config = load_config()
    moved = {
        name: replace(profile, url=check_url(url))
        for name, profile in config.profiles.items()
        if profile.ca_file == ca_file.absolute() and profile.url != url
    }
    if moved:
        save_config(replace(config, profiles={**config.profiles, **moved}))
    return sorted(moved)


def chosen_profile_name(named: str | None) -> str | None:
    """The profile to use: named on the command line, else by BANKCTL_PROFILE, else the default one."""
    return named or os.environ.get(PROFILE_VARIABLE) or load_config().default_profile


def load_profile(named: str | None) -> Profile:
    """The profile to use.

    Raises:
        CliError: none is configured, or the named one does not exist.
    """
    name = chosen_profile_name(named)
    config = load_config()
    if name is None:
        raise usage_error(
            "no bank is configured yet",
            hint="start one on this machine with `bankctl dev up`, or name one with "
            "`bankctl config set url https://bank.example --profile work`",
            code="no_profile",
        )
    profile = config.profiles.get(check_profile_name(name))
    if profile is None:
        known = ", ".join(sorted(config.profiles)) or "none"
        raise CliError(
            f"there is no profile {name!r} (known: {known})",
            exit_status=ExitStatus.USAGE,
            hint=f"`bankctl config list` shows them; "
            f"`bankctl config set url https://bank.example --profile {name}` makes it",
            code="unknown_profile",
        )
    return profile
