"""Whom the daemons believe when they are told where a request comes from."""

from ipaddress import ip_network

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from pydantic import ValidationError

from daemons.shared.http.origin import GATEWAYS_KEY, address_of
from daemons.shared.settings import DaemonSettings, parse_networks


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("127.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", "203.0.113.1, 192.0.2.7", "192.0.2.7"),
        ("127.0.0.1", None, "127.0.0.1"),
        ("127.0.0.1", "<script>", "127.0.0.1"),
        ("10.89.7.4", "192.0.2.7", "192.0.2.7"),
        ("10.89.8.4", "192.0.2.7", "10.89.8.4"),
        ("198.51.100.2", "192.0.2.7", "198.51.100.2"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        (None, "192.0.2.7", "unknown"),
    ],
)
def test_a_forwarded_address_counts_from_a_gateway_only(
    peer: str | None, forwarded: str | None, expected: str
) -> None:
    app = web.Application()
    app[GATEWAYS_KEY] = [ip_network("10.89.7.0/24")]
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    request = make_mocked_request("GET", "/", headers=headers, app=app).clone(remote=peer or "?")
    assert address_of(request) == expected


def test_networks_are_read_or_refused() -> None:
    assert parse_networks("10.89.7.0/24, fd00::/64") == [ip_network("10.89.7.0/24"), ip_network("fd00::/64")]
    assert parse_networks("") == []
    with pytest.raises(ValidationError, match="gateway_networks"):
        DaemonSettings(mongo_uri="m", port=1, gateway_networks="10.89.7.1/24")  # type: ignore[arg-type]
