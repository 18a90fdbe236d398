"""A Kafka that can be killed and paused."""

import asyncio
import logging
import subprocess
from pathlib import Path

from confluent_kafka.admin import AdminClient

from bankctl.local import kafka_jars, ports
from bankctl.local.kafka import find_java, kafka_part
from bankctl.local.layout import Layout
from bankctl.local.progress import Silence
from tests.faults.processes import ServerProcess
from tests.support.waiting import patience

_START_TIMEOUT_SECONDS = 120
# The daemons under crash points ask for short sessions; the broker's least is 6 s otherwise.
_MORE_PROPERTIES = "group.min.session.timeout.ms=500\n"


class KafkaServer(ServerProcess):
    """One broker with its data in a folder, as the local stack would start it."""

    def __init__(self, folder: Path) -> None:
        layout = Layout("faults", folder)
        layout.create()
        port, controller_port = ports.pick(2)
        self._part = kafka_part(
            layout,
            str(find_java()),
            kafka_jars.resolve(Silence()),
            port=port,
            controller_port=controller_port,
        )
        properties = layout.root / "kafka" / "server.properties"
        properties.write_text(properties.read_text() + _MORE_PROPERTIES)
        self.address = f"{ports.LOOPBACK}:{port}"
        super().__init__("kafka", self._part.command, layout.log("kafka"))

    def format(self) -> None:
        """Prepare the folder of a new broker."""
        assert self._part.once is not None
        with self._log.open("ab") as log:
            command = self._part.once.command
            subprocess.run(command, check=True, stdout=log, stderr=log, timeout=_START_TIMEOUT_SECONDS)

    async def until_it_serves(self) -> None:
        assert self._part.confirm is not None
        async with patience("Kafka to serve", seconds=_START_TIMEOUT_SECONDS, found=self.log_tail):
            while True:
                probe = await asyncio.create_subprocess_exec(
                    *self._part.confirm,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                if await probe.wait() == 0:
                    return
                assert self.alive, self.log_tail()

    async def forget(self) -> None:
        """Delete topics and groups: the next bank must not be told of the last one's payments."""
        await asyncio.to_thread(self._forget)

    def _forget(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.address}, logger=logging.getLogger("kafka"))
        topics = [name for name in admin.list_topics(timeout=10).topics if not name.startswith("__")]
        groups = [group.group_id for group in admin.list_consumer_groups().result().valid]
        deletions = [admin.delete_topics(topics)] if topics else []
        deletions += [admin.delete_consumer_groups(groups)] if groups else []
        for deletion in deletions:
            for future in deletion.values():
                future.result()
