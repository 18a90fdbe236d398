"""The notifier comes up while MongoDB and Kafka are down, says so, and recovers by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from daemons.shared.mongo import Database
from tests.support.notifier import (
    PlayedUserApi,
    await_ready,
    ended_status,
    notifier_process,
)
from tests.support.waiting import eventually


class Door:
    """A port of its own that leads to a server, once it is opened."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._open = False
        self._passing: set[asyncio.Task[None]] = set()
        self.address = ""

    def open(self) -> None:
        self._open = True

    @asynccontextmanager
    async def standing(self) -> AsyncIterator["Door"]:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield self
        server.close()
        for task in self._passing:
            task.cancel()
        await asyncio.gather(*self._passing, return_exceptions=True)
        await server.wait_closed()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._open:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(_pump(source, sink))
            self._passing.add(task)


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    except ConnectionError:
        return
    finally:
        sink.close()


async def test_it_waits_for_what_it_needs_and_says_what_that_is(
    tmp_path: Path,
    mongo_uri: str,
    kafka_broker: str,
    notifier_database: Database,
    users: tuple[PlayedUserApi, str],
) -> None:
    async with (
        Door(urlsplit(mongo_uri).netloc).standing() as mongo,
        Door(kafka_broker).standing() as kafka,
        httpx.AsyncClient(timeout=30) as http,
    ):
        uri = f"mongodb://{mongo.address}/?directConnection=true"
        started = notifier_process(
            uri, notifier_database.name, users[1], broker=kafka.address, log=tmp_path / "notifier.log"
        )
        with started as (process, url):

            async def reasons() -> set[str]:
                try:
                    answer = await http.get(f"{url}/readyz")
                except httpx.TransportError:
                    return set()
                return set(answer.json().get("reasons", {}))

            async def both_missing() -> bool:
                return await reasons() == {"mongo", "kafka"}

            async def kafka_missing() -> bool:
                return await reasons() == {"kafka"}

            await eventually(both_missing)
            assert (await http.get(f"{url}/healthz")).status_code == 200
            mongo.open()
            await eventually(kafka_missing)
            kafka.open()
            await await_ready(http, url)
            assert await asyncio.to_thread(ended_status, process) == 0


async def test_it_ends_when_asked_though_nothing_it_needs_is_there(
    tmp_path: Path, users: tuple[PlayedUserApi, str]
) -> None:
    nowhere = "127.0.0.1:9"
    started = notifier_process(
        f"mongodb://{nowhere}/?replicaSet=rs0", "none", users[1], broker=nowhere, log=tmp_path / "log"
    )
    async with httpx.AsyncClient(timeout=30) as http:
        with started as (process, url):

            async def alive() -> bool:
                try:
                    return (await http.get(f"{url}/healthz")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(alive)
            assert await asyncio.to_thread(ended_status, process) == 0
