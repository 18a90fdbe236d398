"""Where messages may be posted: the internet, and nothing of the bank's own."""

import pytest

from daemons.notifier.channels.addresses import fault_of_address, fault_of_url

INSIDE = (
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "10.89.7.3",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 - an address that is refused
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00::1",
    "fc00::1",
    "ff02::1",
    "::",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "2002:a00:1::",
    "2001::1",
    "fec0::1",
)
LOOPBACK = ("127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::")


@pytest.mark.parametrize("allow_loopback", [True, False])
@pytest.mark.parametrize("address", INSIDE)
def test_an_address_inside_is_refused(address: str, allow_loopback: bool) -> None:
    assert fault_of_address(address, allow_loopback=allow_loopback) is not None


@pytest.mark.parametrize("address", LOOPBACK)
def test_the_own_machine_is_for_tests_only(address: str) -> None:
    assert fault_of_address(address, allow_loopback=False) is not None
    assert fault_of_address(address, allow_loopback=True) is None


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "64:ff9b::5db8:d70e"])
def test_a_public_address_is_taken(address: str) -> None:
    assert fault_of_address(address, allow_loopback=False) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://",
        "https://user:secret@example.com/",
        "https://user@example.com/",
        "https://example.com/#fragment",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://exam ple.com/",
        "https://example.com/\r\nX: y",
        "https://ex\u00e4mple.com/",
        "https://10.0.0.1/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[fe80::1%25eth0]/",
        "https://[::ffff:10.0.0.1]:8443/x",
        f"https://example.com/{'x' * 500}",
        "example.com",
    ],
)
def test_a_url_that_leads_nowhere_good_is_refused(url: str) -> None:
    assert fault_of_url(url, allow_loopback=False) is not None


@pytest.mark.parametrize(
    "url", ["https://example.com/bank?x=1", "https://93.184.215.14:8443/", "https://a.example"]
)
def test_a_public_url_is_taken(url: str) -> None:
    assert fault_of_url(url, allow_loopback=False) is None


def test_without_tls_only_where_loopback_is_allowed() -> None:
    assert fault_of_url("http://127.0.0.1:8080/x", allow_loopback=True) is None
    assert fault_of_url("http://10.0.0.1/", allow_loopback=True) is not None
