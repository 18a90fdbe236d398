"""What changes of users is told on Kafka: in order, without loss, and nobody waits for it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from confluent_kafka.admin import AdminClient
from pymongo import MongoClient

from bankctl.local import ports
from daemons.contracts.events.table import DATA_MODELS
from daemons.contracts.kafka_accounts import USER_TOPICS
from daemons.contracts.names import EventType
from daemons.contracts.permissions import Role
from daemons.shared.audit.record import SHELL
from tests.support.bank import CLOSED_PORT
from tests.support.daemon_keys import secret_variables
from tests.support.listening import Listener, listening
from tests.support.user_api import PASSWORD, SECRET, UserApi, new_email, running_user_api
from tests.support.waiting import eventually

TOPICS = list(USER_TOPICS)


def told_of(listener: Listener, user_id: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a user, each once, by the order of their versions."""
    events = [copies[0] for copies in listener.came.values()]
    mine = [(topic, data) for topic, key, data in events if key == user_id]
    return sorted(mine, key=lambda event: int(str(event[1]["version"])))


async def notice(api: UserApi) -> str | None:
    answer = await api.http.get("/readyz")
    assert answer.status_code == 200, answer.text
    found: str | None = answer.json().get("notices", {}).get("events")
    return found


async def is_noticed(api: UserApi) -> bool:
    return await notice(api) is not None


async def owes(api: UserApi, count: int) -> bool:
    return len(api.stored("owed_events")["owed_events"]) == count


async def test_all_that_happens_to_a_user_is_told_in_order(
    mongo_uri: str, database_name: str, kafka_broker: str
) -> None:
    async with (
        running_user_api(mongo_uri, database_name, kafka_broker=kafka_broker) as api,
        listening(kafka_broker, TOPICS) as listener,
    ):
        ann, olga = await api.person(), await api.person(Role.ADMIN)
        body = {"reason": "asked by the court"}
        assert (await olga.call("PATCH", f"/users/{ann.id}/lock", body)).status_code == 200
        assert (await olga.call("PATCH", f"/users/{ann.id}/unlock", body)).status_code == 200
        ann = await api.sign_in(ann.email)
        new = {"current_password": PASSWORD, "new_password": "eleven loud herons"}
        assert (await ann.call("POST", "/auth/change-password", new)).status_code < 300
        await listener.until(lambda: len(told_of(listener, ann.id)) == 4 and told_of(listener, olga.id) != [])
        await eventually(lambda: owes(api, 0))
        told = told_of(listener, ann.id)
    assert [topic for topic, _ in told] == ["UserRegistered", *["UserChanged"] * 3]
    assert [data.get("changes") for _, data in told] == [None, ["status"], ["status"], ["password"]]
    assert [data["status"] for _, data in told] == ["active", "locked", "active", "active"]
    by = {"user_id": olga.id, "display_name": "Ann Other"}
    assert [data.get("initiated_by") for _, data in told][1:3] == [by, by]
    for topic, data in told:
        DATA_MODELS[EventType(topic)].model_validate(data)
        assert "argon2" not in str(data)


async def test_people_register_and_sign_in_while_kafka_is_away_and_all_is_told_later(
    mongo_uri: str, database_name: str, kafka_broker: str
) -> None:
    async with running_user_api(mongo_uri, database_name, kafka_broker=CLOSED_PORT) as api:
        people = [await api.person() for _ in range(3)]
        await eventually(lambda: is_noticed(api))
        assert "Kafka" in str(await notice(api))
        assert await owes(api, 3)
    async with (
        running_user_api(mongo_uri, database_name, kafka_broker=kafka_broker) as api,
        listening(kafka_broker, TOPICS) as listener,
    ):
        await listener.until(lambda: all(told_of(listener, person.id) for person in people))
        await eventually(lambda: owes(api, 0))
        assert await notice(api) is None


async def test_a_taken_address_costs_what_a_free_one_does_and_is_not_told(
    mongo_uri: str, database_name: str
) -> None:
    """Registering must not tell who exists: both ways write as many documents."""
    async with running_user_api(mongo_uri, database_name) as api:
        fields = {"email": new_email(), "display_name": "Ann", "password": PASSWORD}
        for _ in range(2):
            assert (await api.call("POST", "/users", fields)).status_code == 201
        first, second = api.stored("owed_events")["owed_events"]
    assert (first["event"]["type"], second["event"]) == ("UserRegistered", None)


@pytest.mark.campaign
async def test_topics_that_are_deleted_come_back(
    mongo_uri: str, database_name: str, kafka_broker: str
) -> None:
    async with running_user_api(mongo_uri, database_name, kafka_broker=kafka_broker) as api:
        await api.person()
        await eventually(lambda: owes(api, 0))
        admin = AdminClient({"bootstrap.servers": kafka_broker})
        for deleted in admin.delete_topics(TOPICS).values():
            deleted.result()
        ann = await api.person()
        await eventually(lambda: owes(api, 0))
        async with listening(kafka_broker, TOPICS) as listener:
            await listener.until(lambda: told_of(listener, ann.id) != [])
        assert await notice(api) is None


@pytest.mark.campaign
async def test_two_processes_tell_each_change_in_order(
    mongo_uri: str, database_name: str, kafka_broker: str
) -> None:
    async with (
        running_user_api(mongo_uri, database_name, kafka_broker=kafka_broker) as one,
        running_user_api(mongo_uri, database_name, kafka_broker=kafka_broker) as other,
        listening(kafka_broker, TOPICS) as listener,
    ):
        user = await one.register()
        for number in range(20):
            api, role = (one, Role.SUPPORT) if number % 2 else (other, Role.OPERATOR)
            await api.administration.change_role(UUID(user["id"]), role, actor=SHELL, reason="test")
        await listener.until(lambda: len(told_of(listener, user["id"])) == 21)
    changes = [data for topic, _, data in first_copies(listener) if topic == "UserChanged"]
    mine = [int(str(data["version"])) for data in changes if data["user_id"] == user["id"]]
    assert mine == sorted(mine)


def first_copies(listener: Listener) -> list[tuple[str, str, dict[str, Any]]]:
    """Every event once, in the order in which the first copies of each topic's partition came."""
    return [copies[0] for copies in listener.came.values()]


@contextmanager
def killable_user_api(environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "daemons.user_api"], env=environment, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


async def _serves(environment: dict[str, str]) -> bool:
    async with httpx.AsyncClient() as http:
        try:
            return (await http.get(f"http://127.0.0.1:{environment['PORT']}/readyz")).status_code == 200
        except httpx.TransportError:
            return False


@pytest.mark.campaign
async def test_a_user_api_that_is_killed_loses_no_event(
    mongo_uri: str, database_name: str, kafka_broker: str, tmp_path: Path
) -> None:
    [port] = ports.pick(1)
    environment = {
        "PATH": os.environ["PATH"],
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": database_name,
        "KAFKA_BROKER": kafka_broker,
        "PORT": str(port),
        "TOTP_REQUIRED_ROLES": "",
        "ADDRESS_FREE_SIGN_UPS": "100000",
        **secret_variables("user_api", SECRET),
    }
    registered: set[str] = set()
    for _ in range(3):
        with killable_user_api(environment, tmp_path / "log") as process:
            await eventually(lambda: _serves(environment))
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
                for _ in range(8):
                    fields = {"email": new_email(), "display_name": "Ann", "password": PASSWORD}
                    answer = await http.post("/users", json=fields, headers={"X-Requested-With": "tests"})
                    assert answer.status_code == 201, answer.text
                    registered.add(answer.json()["id"])
            process.send_signal(signal.SIGKILL)
            await asyncio.to_thread(process.wait, 30)
    async with running_user_api(mongo_uri, database_name, kafka_broker=kafka_broker) as api:
        async with listening(kafka_broker, TOPICS) as listener:
            await listener.until(lambda: registered <= {key for _, key, _ in first_copies(listener)})
        await eventually(lambda: owes(api, 0))
    with MongoClient[dict[str, Any]](mongo_uri, uuidRepresentation="standard") as client:
        stored = {str(user["_id"]) for user in client[database_name]["users"].find({}, {"_id": 1})}
    assert stored == registered
