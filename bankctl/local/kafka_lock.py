"""`python -m bankctl.local.kafka_lock`: resolve Kafka's jars again and print requirements/kafka.lock."""

import hashlib
import sys
import tempfile
from pathlib import Path

from bankctl.local.kafka_jars import KAFKA_VERSION, Jar

# Kafka logs through SLF4J 1.7; without this binding it would log nothing at all.
_LOGGING = ("org.apache.logging.log4j", "log4j-slf4j-impl")


def resolve_anew(repository: Path) -> list[Jar]:
    """Resolve Kafka and all it needs at run time, by the rules of Maven.

    Raises:
        RuntimeError: a jar or a description is not to be had.
    """
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415 - an optional package

    context = MavenContext(resolver=PythonResolver(), repo_cache=repository, timeout=30)
    kafka = context.create_dependency(f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}")
    inputs, transitive = context.resolver.resolve([kafka])
    artifacts = [dependency.artifact for dependency in [*inputs, *transitive]]
    [core] = [artifact for artifact in artifacts if artifact.artifactId == "log4j-core"]
    artifacts.append(context.project(*_LOGGING).at_version(core.version).artifact())
    jars = []
    for artifact in artifacts:
        content = Path(artifact.resolve()).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        jars.append(Jar(artifact.groupId, artifact.artifactId, artifact.version, digest, len(content)))
    return sorted(jars, key=lambda jar: jar.line)


def main() -> None:
    """Print the lock."""
    with tempfile.TemporaryDirectory() as folder:
        jars = resolve_anew(Path(folder))
    lines = [
        f"# Apache Kafka {KAFKA_VERSION} and all it needs to run, as resolved by:",
        "#   python -m bankctl.local.kafka_lock > requirements/kafka.lock",
        "# coordinate, digest and size in bytes; bankctl verifies the digest at every start.",
        *(jar.line for jar in jars),
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
