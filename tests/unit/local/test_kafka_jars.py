import hashlib
from pathlib import Path

import pytest

from bankctl.errors import CliError
from bankctl.local import kafka_jars
from bankctl.local.kafka_jars import Jar
from bankctl.local.progress import Silence

CONTENT = {"kafka-1.jar": b"the broker", "log-2.jar": b"its log"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "jars"
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    lines = ["# a comment"]
    for name, content in CONTENT.items():
        artifact, version = name.removesuffix(".jar").split("-")
        digest = hashlib.sha256(content).hexdigest()
        lines.append(Jar("org.example", artifact, version, digest, len(content)).line)
    file = tmp_path / "kafka.lock"
    file.write_text("\n".join(lines) + "\n")
    return file


def test_jars_that_are_all_there_need_no_network(lock: Path, folder: Path) -> None:
    class_path = kafka_jars.resolve(Silence(), lock=lock, folder=folder)

    assert class_path == f"{folder}/kafka-1.jar:{folder}/log-2.jar"


def test_a_tampered_jar_is_refused_by_name_with_both_digests(lock: Path, folder: Path) -> None:
    (folder / "log-2.jar").write_bytes(b"its lag")

    with pytest.raises(CliError) as raised:
        kafka_jars.resolve(Silence(), lock=lock, folder=folder)

    assert raised.value.code == "kafka_jar_mismatch"
    assert str(folder / "log-2.jar") in raised.value.message
    assert hashlib.sha256(b"its lag").hexdigest() in raised.value.message
    assert hashlib.sha256(b"its log").hexdigest() in raised.value.message


def test_a_jar_cut_short_is_refused(lock: Path, folder: Path) -> None:
    (folder / "kafka-1.jar").write_bytes(b"the bro")

    with pytest.raises(CliError, match="is not the pinned jar"):
        kafka_jars.resolve(Silence(), lock=lock, folder=folder)


def test_a_jar_that_was_not_chosen_never_gets_on_the_class_path(lock: Path, folder: Path) -> None:
    (folder / "evil-1.jar").write_bytes(b"!")

    assert "evil" not in kafka_jars.resolve(Silence(), lock=lock, folder=folder)


def test_a_damaged_lock_is_named(tmp_path: Path) -> None:
    file = tmp_path / "kafka.lock"
    file.write_text("org.example:kafka\n")

    with pytest.raises(CliError, match=r"kafka\.lock can't be read"):
        kafka_jars.read_lock(file)


def test_the_lock_of_the_project_pins_kafka_and_a_log_binding() -> None:
    jars = kafka_jars.read_lock(kafka_jars.lock_file())
    versions = {jar.artifact: jar.version for jar in jars}

    assert versions["kafka_2.13"] == kafka_jars.KAFKA_VERSION
    assert versions["log4j-slf4j-impl"] == versions["log4j-core"]
    assert all(len(jar.sha256) == 64 and jar.size > 0 for jar in jars)
    assert len({jar.filename for jar in jars}) == len(jars)
