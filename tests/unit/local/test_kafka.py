from pathlib import Path

from bankctl.local.kafka import kafka_part, server_properties
from bankctl.local.layout import Layout


def test_every_listener_is_on_the_loopback_address() -> None:
    properties = dict(
        line.split("=", 1)
        for line in server_properties(Path("/d"), port=1, controller_port=2).splitlines()
        if not line.startswith("#")
    )

    assert properties["listeners"] == "CLIENTS://127.0.0.1:1,CONTROLLER://127.0.0.1:2"
    assert properties["advertised.listeners"] == "CLIENTS://127.0.0.1:1"
    assert properties["auto.create.topics.enable"] == "false"
    assert properties["offsets.topic.replication.factor"] == "1"
    assert properties["log.dirs"] == "/d/data"


def test_the_list_of_jars_stays_out_of_the_process_list(tmp_path: Path) -> None:
    layout = Layout("local", tmp_path)
    (tmp_path / "kafka").mkdir()

    part = kafka_part(layout, "java", "/jars/a b.jar:/jars/c.jar", port=1, controller_port=2)

    assert part.command == [
        "java",
        f"@{tmp_path}/kafka/java.args",
        "kafka.Kafka",
        f"{tmp_path}/kafka/server.properties",
    ]
    assert '"/jars/a b.jar:/jars/c.jar"' in (tmp_path / "kafka" / "java.args").read_text()
