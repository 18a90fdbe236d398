"""Kafka as compose.yaml runs it, without containers: the image's own wrapper reads the same environment.

What differs is where it listens (free ports of the loopback interface) and how much memory it takes.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from bankctl.local import kafka_jars, ports
from bankctl.local.kafka import find_java
from bankctl.local.progress import Silence
from bankctl.local.service_keys import CALLING_DAEMONS, make_key, public_key_of
from daemons.shared.kafka.connection import KafkaAccount, KafkaCluster
from tests.support.ending import stop

COMPOSE = Path(__file__).parents[2] / "compose.yaml"
_SERVICE_KEYS = {name: make_key() for name in CALLING_DAEMONS}
SECRETS = {
    name: f"{name.lower()}-of-the-tests-and-long-enough"
    for name in (
        *("JWT_SECRET", "MONGO_ROOT_PASSWORD", "KAFKA_ROOT_PASSWORD", "VALKEY_PASSWORD", "BANK_HOST"),
        *(f"MONGO_{daemon}_PASSWORD" for daemon in ("USER_API", "BANKING_API", "NOTIFIER")),
        *(f"KAFKA_{daemon}_PASSWORD" for daemon in ("USER_API", "BANKING_API", "NOTIFIER")),
    )
}
SECRETS |= {"SMTP_HOST": "smtp.example", "MAIL_FROM": "The Bank <no-reply@bank.example>"}
SECRETS |= {f"{name.upper()}_SERVICE_KEY": key for name, key in _SERVICE_KEYS.items()}
SECRETS["CHECKPOINT_KEY"] = make_key()
SECRETS |= {f"{name.upper()}_PUBLIC_KEYS": public_key_of(key) for name, key in _SERVICE_KEYS.items()}
_WRAPPER = "kafka.docker.KafkaDockerWrapper"
_CLUSTER = "5L6g3nShT-eMCtK--X86sw"
_LOGGING = """\
<Configuration status="WARN">
  <Appenders><Console name="stdout"><PatternLayout pattern="[%d] %p %m (%c)%n"/></Console></Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="stdout"/></Root></Loggers>
</Configuration>
"""
_JVM = ["-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
_START_TIMEOUT_SECONDS = 120
_STOP_TIMEOUT_SECONDS = 20


def service_environment(service: str, replacements: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a service's environment as compose would give it, with the secrets of the tests."""
    text = re.sub(r"\$\{(\w+):\?[^}]*\}", lambda found: SECRETS[found[1]], COMPOSE.read_text("utf-8"))
    document: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    given = document["services"][service]["environment"]
    # What YAML takes for null is an empty text to Compose, which puts the variable's value there afterwards.
    environment = {name: "" if value is None else str(value) for name, value in given.items()}
    for old, new in (replacements or {}).items():
        environment = {name: value.replace(old, new) for name, value in environment.items()}
    return environment


@dataclass(frozen=True)
class ComposeKafka:
    """A running broker with accounts."""

    replacements: Mapping[str, str]

    @property
    def brokers(self) -> str:
        """Where clients connect."""
        return self.replacements["kafka:9092"]

    def environment(self, service: str) -> dict[str, str]:
        """The environment of another service of compose.yaml, which finds this broker."""
        return service_environment(service, self.replacements)

    def cluster(self, account: str, *, password: str | None = None) -> KafkaCluster:
        """How a daemon connects, as its service's environment says."""
        given = self.environment(account)
        return KafkaCluster(
            given["KAFKA_BROKER"],
            KafkaAccount(
                security=given["KAFKA_SECURITY"],
                mechanism="SCRAM-SHA-512",
                username=given["KAFKA_USERNAME"],
                password=password or given["KAFKA_PASSWORD"],
            ),
        )


@contextlib.contextmanager
def running_compose_kafka(folder: Path) -> Iterator[ComposeKafka]:
    """Run the broker, and then what `kafka-accounts` runs."""
    clients, controller, inner = ports.pick(3)
    replacements = {
        "kafka:9092": f"127.0.0.1:{clients}",
        "//:9092": f"//127.0.0.1:{clients}",
        "localhost:9093": f"127.0.0.1:{controller}",
        "localhost:9094": f"127.0.0.1:{inner}",
        "/var/lib/kafka/data": str(folder / "data"),
    }
    kafka = ComposeKafka(replacements)
    with (folder / "kafka.log").open("ab") as log:
        process = subprocess.Popen(
            [*_java(), _log_as_the_image_does(folder), "kafka.Kafka", str(_write_properties(folder, kafka))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _await_listening(process, clients, folder / "kafka.log")
        run_kafka_accounts(kafka.environment("kafka-accounts"))
        yield kafka
    finally:
        stop(process, patience_seconds=_STOP_TIMEOUT_SECONDS)


def run_kafka_accounts(environment: Mapping[str, str]) -> None:
    """Run the command of the service `kafka-accounts`."""
    done = subprocess.run(
        [sys.executable, "-m", "daemons.shared.kafka_admin", "prepare"],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=_START_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _java() -> list[str]:
    return [str(find_java()), *_JVM, "-cp", kafka_jars.resolve(Silence())]


def _log_as_the_image_does(folder: Path) -> str:
    logging = folder / "logging.xml"
    logging.write_text(_LOGGING)
    return f"-Dlog4j2.configurationFile={logging.as_uri()}"


def _write_properties(folder: Path, kafka: ComposeKafka) -> Path:
    """Let the image's wrapper make its configuration from the environment, and format the storage."""
    folders = {name: folder / name for name in ("default", "mounted", "final")}
    for made in folders.values():
        made.mkdir()
    for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
        (folders["default"] / name).touch()
    options = [f"--{name}-configs-dir={path}" for name, path in folders.items()]
    subprocess.run(
        [*_java(), _WRAPPER, "setup", *options],
        env={"CLUSTER_ID": _CLUSTER, **kafka.environment("kafka")},
        check=True,
        capture_output=True,
        timeout=_START_TIMEOUT_SECONDS,
    )
    return folders["final"] / "server.properties"


def _await_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait as compose's own health check does."""
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    while ports.holder(port) is None:
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"Kafka does not serve; the end of its log:\n{log.read_text()[-3000:]}")
        time.sleep(0.1)
