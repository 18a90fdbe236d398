"""Which addresses outgoing requests may go to: those of the internet, never one of the bank's own network."""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")
_LONGEST_URL = 500


def fault_of_address(text: str, *, allow_loopback: bool) -> str | None:
    """Return None for an address that may be connected to, else a sentence that says why not."""
    address = _meant(ip_address(text.partition("%")[0]))
    if address.is_loopback:
        return None if allow_loopback else f"{text} is an address of the notifier's own machine."
    is_public = address.is_global and not (address.is_multicast or address.is_reserved)
    if isinstance(address, IPv6Address) and (address in _LOCAL_NAT64 or address.is_site_local):
        is_public = False
    return None if is_public else f"{text} is no public address."


def fault_of_url(url: str, *, allow_loopback: bool) -> str | None:
    """Return None for a URL that messages may be posted to, else a sentence that says why not.

    Whatever name it has is judged again by the addresses that it has when it is connected to.
    """
    parts = _parts_of(url)
    if parts is None or len(url) > _LONGEST_URL:
        return f"It is not a URL of at most {_LONGEST_URL} characters."
    if parts.scheme != "https" and not (parts.scheme == "http" and allow_loopback):
        return "It must begin with https://."
    if parts.username is not None or parts.password is not None or parts.fragment:
        return "It must have neither a user, a password nor a fragment."
    return fault_of_literal(str(parts.hostname), allow_loopback=allow_loopback)


def fault_of_literal(host: str, *, allow_loopback: bool) -> str | None:
    """Judge a host that is an address, which nothing resolves; return None for a name."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return fault_of_address(host, allow_loopback=allow_loopback)


def _parts_of(url: str) -> SplitResult | None:
    if not url.isascii() or any(sign.isspace() or not sign.isprintable() for sign in url):
        return None
    try:
        parts = urlsplit(url)
        has_place = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if has_place else None


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address
