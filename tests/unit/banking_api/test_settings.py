"""What banking_api takes from its environment about the stream between its processes."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from daemons.banking_api.settings import BankingSettings
from tests.support.certificates import issue
from tests.support.daemon_keys import secret_settings


def settings(**changes: Any) -> BankingSettings:
    base: dict[str, Any] = {
        "port": 1,
        "mongo_uri": "mongodb://127.0.0.1:9",
        "kafka_broker": "127.0.0.1:9",
        "user_api_url": "http://127.0.0.1:9",
        **secret_settings("banking_api", ""),
    }
    return BankingSettings(**{**base, **changes})


def fault_of(**changes: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        settings(**changes)
    [fault] = refused.value.errors()
    return str(fault["msg"])


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_certificate(host: str) -> None:
    assert settings(ledger_host=host).ledger_tls is None


@pytest.mark.parametrize("host", ["10.0.0.5", "bank-1.internal", "fd00::1"])
def test_the_stream_leaves_the_machine_by_tls_only(host: str, tmp_path: Path) -> None:
    assert "beyond loopback need LEDGER_TLS_CERT" in fault_of(ledger_host=host)
    assert "beyond loopback need LEDGER_TLS_CERT" in fault_of(ledger_advertised_host=host)
    files = issue(tmp_path, "own")
    allowed = settings(
        ledger_host=host,
        ledger_tls_cert=files.certificate,
        ledger_tls_key=files.key,
        ledger_tls_ca=files.authority,
    )
    assert allowed.ledger_tls is not None
    assert allowed.ledger_tls.certificate == files.certificate.read_bytes()


def test_the_three_files_go_together(tmp_path: Path) -> None:
    files = issue(tmp_path, "own")
    for given in ({"ledger_tls_cert": files.certificate}, {"ledger_tls_ca": files.authority}):
        assert "set all three" in fault_of(**given)


def test_files_that_are_at_fault_are_named(tmp_path: Path) -> None:
    own, other = issue(tmp_path, "own"), issue(tmp_path, "other")
    right = {
        "ledger_tls_cert": own.certificate,
        "ledger_tls_key": own.key,
        "ledger_tls_ca": own.authority,
    }
    missing = tmp_path / "none.pem"
    assert f"{missing} is not a file" in fault_of(**{**right, "ledger_tls_key": missing})
    assert "are not a certificate and its key" in fault_of(**{**right, "ledger_tls_key": other.key})
    assert "holds no certificate" in fault_of(**{**right, "ledger_tls_ca": own.key})


def test_a_wildcard_is_no_name_for_others(tmp_path: Path) -> None:
    files = issue(tmp_path, "own")
    given = {
        "ledger_host": "0.0.0.0",  # noqa: S104 - nothing listens in this test
        "ledger_tls_cert": files.certificate,
        "ledger_tls_key": files.key,
        "ledger_tls_ca": files.authority,
    }
    assert "by which name the others reach this process" in fault_of(**given)
    assert settings(**given, ledger_advertised_host="bank-1.internal").ledger_address == "bank-1.internal"
