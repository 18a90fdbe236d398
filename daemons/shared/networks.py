"""Which network addresses belong together."""

from ipaddress import IPv6Address, ip_address

_IPV6_SITE_BITS = 64


def network_of(address: str) -> str:
    """Return what one subscriber of a network has: an IPv4 address, or the first half of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return (int(parsed) >> _IPV6_SITE_BITS).to_bytes(8, "big").hex()
