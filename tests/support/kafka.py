"""A real Apache Kafka for tests: one broker per run, started as the local stack starts its own."""

import contextlib
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bankctl.local import kafka_jars, ports
from bankctl.local.kafka import find_java, kafka_part
from bankctl.local.layout import Layout
from bankctl.local.part import Part
from bankctl.local.progress import Silence
from tests.support.ending import stop

_START_TIMEOUT_SECONDS = 120
_STOP_TIMEOUT_SECONDS = 20


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the run's own broker; it starts once and stops with the run."""
    with running_kafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@dataclass(frozen=True)
class Listener:
    """A second way to the same broker; `settings` are its own."""

    name: str
    protocol: str
    port: int
    advertised_port: int
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"{ports.LOOPBACK}:{self.advertised_port}"

    def add_to(self, properties: Path) -> None:
        """Add it to a broker's configuration."""
        text = properties.read_text()
        for before, after in (
            ("\nlisteners=", f"{self.name}://{ports.LOOPBACK}:{self.port},"),
            ("\nadvertised.listeners=", f"{self.name}://{self.address},"),
            ("protocol.map=", f"{self.name}:{self.protocol},"),
        ):
            text = text.replace(before, before + after)
        prefix = f"listener.name.{self.name.lower()}"
        properties.write_text(
            text + "".join(f"{prefix}.{name}={value}\n" for name, value in self.settings.items())
        )


def tls_listener(folder: Path, certificate: Path, key: Path, *, user: str, password: str) -> Listener:
    """A way by TLS, for one account."""
    pem = folder / "listener.pem"
    pem.write_bytes(certificate.read_bytes() + key.read_bytes())
    [port] = ports.pick(1)
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    settings = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(pem),
        "sasl.enabled.mechanisms": "PLAIN",
        "plain.sasl.jaas.config": f'{login} user_{user}="{password}";',
    }
    return Listener("TLS", "SASL_SSL", port, port, settings)


@contextlib.contextmanager
def running_kafka(folder: Path, *, listener: Listener | None = None) -> Iterator[str]:
    """Run a broker with its data and log in the folder; yields its address once it serves."""
    layout = Layout("test", folder)
    layout.create()
    port, controller_port = ports.pick(2)
    part = kafka_part(
        layout, str(find_java()), kafka_jars.resolve(Silence()), port=port, controller_port=controller_port
    )
    if listener is not None:
        listener.add_to(layout.root / "kafka" / "server.properties")
    assert part.once is not None
    with layout.log("kafka").open("ab") as log:
        subprocess.run(part.once.command, check=True, stdout=log, stderr=log, timeout=_START_TIMEOUT_SECONDS)
        process = subprocess.Popen(part.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _await_serving(process, part, layout.log("kafka"))
        yield f"{ports.LOOPBACK}:{port}"
    finally:
        stop(process, patience_seconds=_STOP_TIMEOUT_SECONDS)


def _await_serving(process: subprocess.Popen[bytes], part: Part, log: Path) -> None:
    assert part.confirm is not None
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    while subprocess.run(part.confirm, capture_output=True, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"Kafka does not serve; the end of its log:\n{log.read_text()[-2000:]}")
