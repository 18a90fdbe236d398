"""The proxy on the way to the bank, as the environment names it; a fault in it is named with its variable."""

import os
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from urllib.parse import urlsplit

from bankctl.errors import CliError, usage_error

# The bank speaks HTTPS only, so HTTP_PROXY is never used. Lower case comes first, as in curl.
_VARIABLES = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
_PLAIN_SCHEMES = frozenset({"http", "https"})
_SOCKS_SCHEMES = frozenset({"socks5", "socks5h"})


@dataclass(frozen=True, slots=True)
class NamedProxy:
    """A proxy and the variable that names it; `shown` is its address without name and password."""

    variable: str
    url: str = field(repr=False)
    shown: str

    @property
    def remedy(self) -> str:
        """What a person can do about it."""
        return f"correct or unset {self.variable}, or name the bank in NO_PROXY"


def proxy_for(host: str, port: int) -> NamedProxy | None:
    """The proxy on the way to a host; None if there is none, or NO_PROXY names the host.

    Raises:
        CliError: the variable's value is not the address of a usable proxy.
    """
    variable = next((name for name in _VARIABLES if os.environ.get(name, "").strip()), None)
    if variable is None:
        return None
    # Slow to load, and only those with a proxy need it.
    from urllib.request import proxy_bypass  # noqa: PLC0415

    if proxy_bypass(f"{host}:{port}"):
        return None
    value = os.environ[variable].strip()
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        named, at = parts.hostname, parts.port
    except ValueError as error:
        raise _malformed(variable, f"is not the address of a proxy: {error}") from error
    if not named or at == 0 or not all("!" <= one <= "~" for one in url):
        raise _malformed(variable, "holds no address of a proxy")
    if parts.scheme in _SOCKS_SCHEMES and find_spec("socksio") is None:
        raise usage_error(
            f"{variable} names a SOCKS proxy, which needs the package socksio",
            hint=f"`{sys.executable} -m pip install socksio`, or {_OTHER_WAYS.format(variable)}",
            code="proxy_not_supported",
        )
    if parts.scheme not in _PLAIN_SCHEMES | _SOCKS_SCHEMES:
        raise _malformed(variable, f"names a {parts.scheme!r} proxy, which is not supported")
    shown = f"[{named}]" if ":" in named else named
    return NamedProxy(variable, url, f"{parts.scheme}://{shown}{'' if at is None else f':{at}'}")


_OTHER_WAYS = "unset {0}, or name the bank in NO_PROXY"


def _malformed(variable: str, fault: str) -> CliError:
    # The value may hold a password, so it is not shown.
    return usage_error(
        f"{variable} {fault}",
        hint=f"write it as {variable}=http://proxy.example:3128, {_OTHER_WAYS.format(variable)}",
        code="invalid_environment",
    )
