"""Profiles: which bank the command line talks to, kept in `config.toml`.

default_profile = "local"

[profiles.local]
url = "https://localhost:8443"
ca_file = "/home/ann/.local/share/bankctl/.../root.crt"
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from bankctl import paths
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.files import ensure_private_directory, write_private

PROFILE_VARIABLE = "BANKCTL_PROFILE"
# A profile's name is also the name of its session file.
_PROFILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_HTTPS_PORT = 443
_LONGEST_HOST = 253
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


@dataclass(frozen=True, slots=True)
class Profile:
    """One bank: the HTTPS origin of its gateway, and the certificate to trust beside the system's.

    `filters` of events are kept for the person; `bankctl.client.event_filter` says what is in one.
    """

    name: str
    url: str
    ca_file: Path | None = None
    filters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, compare=False)


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
            f"{name!r} is not a profile name: use up to 64 letters, digits, '_', '.' or '-'",
            code="invalid_profile_name",
        )
    return name


def check_url(url: str) -> str:
    """Return the origin that `url` stands for, in its one form (RFC 6454).

    Scheme and host are in lower case, an international name is in its ASCII form, a trailing dot and the
    default port are left out: however it is spelt, one bank has one origin.

    Raises:
        CliError: it is not an https origin; plain http would send the session in the clear.
    """
    try:
        return _origin(url)
    except ValueError as error:
        raise usage_error(
            f"{url!r} is not the address of a bank: {error}",
            hint="give the gateway's scheme, host and port, such as https://bank.example:8443",
            code="invalid_url",
        ) from error


def _origin(url: str) -> str:
    """The origin that a URL consists of.

    Raises:
        ValueError: it is no URL, or has other parts.
    """
    if any(one <= " " or one in "\\\x7f" for one in url):
        raise ValueError("it has a space, a backslash or a control character")
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise ValueError("it does not begin with https://; plain http is refused")
    if "@" in parts.netloc:
        raise ValueError("it contains a user name or password, which are never sent this way")
    if parts.path not in {"", "/"} or "?" in url or "#" in url:
        raise ValueError("it has something after host and port")
    host, port = _host(parts.hostname or ""), parts.port
    if port == 0:
        raise ValueError("the port is out of range 1-65535")
    return f"https://{host}" if port in {None, _HTTPS_PORT} else f"https://{host}:{port}"


def _host(host: str) -> str:
    """The one form of a host name or address.

    Raises:
        ValueError: it is not one.
    """
    if ":" in host:
        # The address of an interface (fe80::1%eth0) means nothing to other machines.
        return f"[{IPv6Address(host).compressed}]" if "%" not in host else _no_host(host)
    if not host.isascii():
        # Only international names need it; its errors are ValueErrors.
        import idna  # noqa: PLC0415

        host = idna.encode(host, uts46=True).decode()
    host = host.removesuffix(".")
    labels = host.split(".")
    if len(host) > _LONGEST_HOST or not all(_LABEL.fullmatch(label) for label in labels):
        return _no_host(host)
    # Whatever ends in a number is taken for an IPv4 address by some resolvers, in several notations.
    if _NUMBER.fullmatch(labels[-1]):
        return str(IPv4Address(host))
    return host


def _no_host(host: str) -> NoReturn:
    raise ValueError(f"{host!r} is not a host name" if host else "it has no host")


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
    except OSError as error:
        raise _broken(path, error.strerror or str(error)) from error
    # Tables within tables within tables exhaust the parser.
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
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
            raise _broken(path, f"ca_file of profile {name!r} is not a path")
        try:
            url = check_url(table["url"])
            profiles[check_profile_name(name)] = Profile(
                name, url, Path(ca_file) if ca_file else None, _filters_of(table, path)
            )
        except CliError as error:
            raise _broken(path, f"profile {name!r}: {error.message}") from error
    return Config(default, profiles)


def _filters_of(table: Mapping[str, Any], path: Path) -> dict[str, Any]:
    filters = table.get("filters", {})
    if not isinstance(filters, dict) or not all(isinstance(kept, dict) for kept in filters.values()):
        raise _broken(path, "filters must be tables")
    return filters


def _broken(path: Path, why: str) -> CliError:
    return usage_error(
        f"{path} cannot be used: {why}",
        hint="correct the file, or move it away and create its profiles again (`bankctl config set url`, "
        "`bankctl dev up`)",
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
        name: {
            "url": profile.url,
            **({"ca_file": str(profile.ca_file)} if profile.ca_file else {}),
            **({"filters": profile.filters} if profile.filters else {}),
        }
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
    known = config.profiles.get(name)
    profile = Profile(
        check_profile_name(name),
        check_url(url),
        ca_file.absolute() if ca_file else None,
        known.filters if known else {},
    )
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
    """The profile to use: named on the command line, else by BANKCTL_PROFILE, else the default one.

    Raises:
        CliError: BANKCTL_PROFILE holds no name.
    """
    if named:
        return named
    if variable := os.environ.get(PROFILE_VARIABLE):
        try:
            return check_profile_name(variable)
        except CliError as error:
            raise usage_error(
                f"{PROFILE_VARIABLE}: {error.message}",
                hint=f"correct or unset {PROFILE_VARIABLE}",
                code="invalid_environment",
            ) from error
    return load_config().default_profile


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
            f"`bankctl config set url https://bank.example --profile {name}` creates it",
            code="unknown_profile",
        )
    return profile
