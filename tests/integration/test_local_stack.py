"""The local stack with real server parts and daemons, in a folder and on ports of its own."""

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pymongo
import pytest
import valkey
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from pymongo.errors import OperationFailure

from bankctl.errors import CliError, ExitStatus
from bankctl.local.identity import SUPERVISOR, marked
from bankctl.local.kafka import ADMINISTRATOR, account_environment
from bankctl.local.mongod import uri
from bankctl.local.plan import ALL_PARTS
from bankctl.local.stack import Stack, Wishes
from bankctl.local.status import StackStatus
from tests.support.gateway import get

NAME = "under-test"
TOPIC = "survivors"
UNAUTHORIZED = 13
STRICT_POLICY = "default-src 'none'; frame-ancestors 'none'"


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def pid_of(stack: Stack, part: str) -> int | None:
    return next(it.pid for it in stack.status().parts if it.name == part)


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def kill(pid: int | None) -> int:
    """Kill -9 the process and wait for its end."""
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: has_ended(pid), f"{pid} to end")
    return pid


def wait_for_well(stack: Stack, what: str) -> StackStatus:
    """Wait until every part serves with nothing to say, which on a busy machine one look may miss."""
    found = stack.status()

    def is_well() -> bool:
        nonlocal found
        found = stack.status()
        return found.well

    try:
        wait_until(is_well, what)
    except AssertionError:
        unwell = [(part.name, part.health, part.detail) for part in found.parts if not part.well]
        pytest.fail(f"{what}: {unwell}")
    return found


def wait_for_another(stack: Stack, part: str, killed: int) -> None:
    def replaced() -> bool:
        status = stack.status()
        return status.well and pid_of(stack, part) not in {None, killed}

    wait_until(replaced, f"{part} healthy again: {stack.status()}")


def processes(stack: Stack) -> list[tuple[str, int]]:
    """What runs of the stack, found by the mark in its environment: not by what the stack says of itself."""
    return [(found.part, found.identity.pid) for found in marked(stack.layout.mark)]


@pytest.fixture(scope="module")
def stack(isolated: Path) -> Iterator[Stack]:
    stack = Stack.load(NAME)
    stack.up()
    yield stack
    stack.reset()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bankctl.main", "dev", *arguments, "--stack", NAME],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_every_part_is_healthy_and_says_where_it_is(stack: Stack) -> None:
    status = wait_for_well(stack, "the stack after its start")

    assert [part.name for part in status.parts] == list(ALL_PARTS)
    for part in status.parts:
        assert part.pid is not None
        assert psutil.pid_exists(part.pid)
        assert part.port == stack.settings.ports[part.name]
        assert part.log is not None
        assert Path(part.log).exists()
    assert all(Path(part.data).is_dir() for part in status.parts if part.data)


def test_nothing_listens_beyond_loopback_and_only_on_ports_that_were_chosen(stack: Stack) -> None:
    pids = {pid for _, pid in processes(stack)}
    sockets = [it for it in psutil.net_connections(kind="inet") if it.pid in pids]
    listening = [it.laddr for it in sockets if it.status == psutil.CONN_LISTEN]

    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}
    assert {address.port for address in listening} == set(stack.settings.ports.values())
    assert [it for it in sockets if it.type.name == "SOCK_DGRAM"] == []


def test_a_second_up_changes_nothing_and_says_so(stack: Stack) -> None:
    before = processes(stack)

    answer = command("up")

    assert answer.returncode == 0, answer.stderr
    assert "nothing was changed" in answer.stderr
    assert processes(stack) == before


def test_up_with_other_ports_is_refused_while_it_runs(stack: Stack) -> None:
    with pytest.raises(CliError) as raised:
        stack.up(wishes=Wishes(ports={"gateway": 20_001}))

    assert raised.value.code == "stack_differs"
    wait_for_well(stack, "the stack that was left as it is")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/internal/keys",
        "/metrics",
        "/healthz",
        "/readyz",
        "/usersx",
        "/users/../internal/keys",
        "/users/%2e%2e/internal/keys",
        "/users/%2E%2E/auth/session",
        "/users%2fme",
        "/users//me",
        "/users/%5cme",
        "/openapi/other.json",
    ],
)
def test_what_is_not_public_is_not_found(stack: Stack, path: str) -> None:
    status, headers, body = get(stack, path)

    assert (status, body["code"]) == (404, "route_not_found")
    assert headers["content-type"] == "application/problem+json"
    assert body["request_id"] == headers["x-request-id"]


@pytest.mark.parametrize(
    "path", ["/users/me", "/accounts", "/transactions", "/events", "/notifications", "/dead-letters"]
)
def test_public_routes_reach_their_daemons_with_the_headers_that_keep_browsers_safe(
    stack: Stack, path: str
) -> None:
    status, headers, body = get(stack, path)

    assert (status, body["code"]) == (401, "not_signed_in")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"] == STRICT_POLICY
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers
    assert "strict-transport-security" not in headers


def test_which_bank_it_is_may_be_cached_and_its_errors_may_not(stack: Stack) -> None:
    status, headers, body = get(stack, "/bank")
    assert (status, body["batch_limit"]) == (200, 500)
    assert headers["content-security-policy"] == STRICT_POLICY
    assert headers["cache-control"] == "public, max-age=60"

    status, headers, _ = get(stack, "/bank/x")
    assert (status, headers["cache-control"]) == (404, "no-store")


def operations(document: dict[str, Any]) -> dict[tuple[str, str], object]:
    return {(path, method): found for path, of in document["paths"].items() for method, found in of.items()}


def test_the_bank_s_description_is_what_its_daemons_say_of_themselves(stack: Stack) -> None:
    status, headers, whole = get(stack, "/openapi.json")
    assert (status, headers["content-type"]) == (200, "application/json")

    parts = [get(stack, f"/openapi/{daemon}.json") for daemon in ("user_api", "banking_api", "notifier")]

    assert [status for status, _, _ in parts] == [200, 200, 200]
    each = [operations(document) for _, _, document in parts]
    assert operations(whole) == each[0] | each[1] | each[2]
    assert len(operations(whole)) == sum(map(len, each))
    schemas = [document["components"]["schemas"] for _, _, document in parts]
    assert whole["components"]["schemas"] == schemas[0] | schemas[1] | schemas[2]
    assert {document["openapi"] for document in (whole, *(part for _, _, part in parts))} == {"3.1.0"}


def test_a_request_id_passes_through_unless_it_is_malformed(stack: Stack) -> None:
    assert get(stack, "/nowhere", **{"X-Request-Id": "my-id.1"})[2]["request_id"] == "my-id.1"
    assert '"' not in str(get(stack, "/nowhere", **{"X-Request-Id": 'a"b'})[2]["request_id"])


def test_another_host_is_not_this_bank(stack: Stack) -> None:
    assert get(stack, "/users/me", Host="evil.example")[0] == 421


def kafka_settings(stack: Stack, account: str) -> dict[str, str]:
    """How a client of the stack's Kafka connects."""
    port, password = stack.settings.ports["kafka"], stack.settings.password("kafka", account)
    given = account_environment(port, account, password)
    return {
        "bootstrap.servers": given["KAFKA_BROKER"],
        "security.protocol": given["KAFKA_SECURITY"],
        "sasl.mechanism": given["KAFKA_MECHANISM"],
        "sasl.username": given["KAFKA_USERNAME"],
        "sasl.password": given["KAFKA_PASSWORD"],
    }


def test_whoever_has_no_account_can_read_and_write_nothing(stack: Stack) -> None:
    ports = stack.settings.ports
    with pymongo.MongoClient(uri(ports["mongod"]), serverSelectionTimeoutMS=5000) as client:
        for refused in (
            client.list_database_names,
            client["user_api"]["users"].find_one,
            lambda: client["admin"].command("createUser", "mine", pwd="mine", roles=["root"]),
            lambda: client["banking_api"]["journal"].insert_one({}),
        ):
            with pytest.raises(OperationFailure) as raised:
                refused()
            assert raised.value.code == UNAUTHORIZED
    for settings in (
        {"bootstrap.servers": f"127.0.0.1:{ports['kafka']}"},
        {**kafka_settings(stack, "notifier"), "sasl.password": "another"},
    ):
        stranger = AdminClient({**settings, "log_level": 0})
        with pytest.raises(KafkaException):
            stranger.list_topics(timeout=3)
    with valkey.Valkey(port=ports["cache"]) as client, pytest.raises(valkey.AuthenticationError):
        client.ping()
    for file in (
        stack.layout.settings,
        *stack.layout.root.glob("*/keyfile"),
        *stack.layout.root.glob("*/*.prop*"),
        *stack.layout.root.glob("*/*.conf"),
    ):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_a_daemon_can_reach_its_own_database_and_topics_alone(stack: Stack) -> None:
    with pymongo.MongoClient(stack.environment("notifier")["MONGO_URI"]) as client:
        assert client["notifier"]["events"].find_one() is None
        for refused in (
            client["user_api"]["users"].find_one,
            lambda: client["notifier"]["events"].find_one({"$where": "true"}),
        ):
            with pytest.raises(OperationFailure):
                refused()
    outcomes: list[str] = []
    producer = Producer({**kafka_settings(stack, "notifier"), "log_level": 0})
    producer.produce(
        "TransactionCompleted",
        b"x",
        on_delivery=lambda error, _: outcomes.append(error.name() if error else ""),
    )
    producer.flush(30)
    assert outcomes == ["TOPIC_AUTHORIZATION_FAILED"]


@pytest.mark.parametrize("daemon", ["banking_api", "notifier"])
def test_a_daemon_that_asks_for_users_can_reach_the_cache(stack: Stack, daemon: str) -> None:
    with valkey.Valkey.from_url(stack.environment(daemon)["CACHE_URI"]) as client:
        assert client.ping()
        assert client.config_get("save") == {"save": ""}


def test_no_secret_stands_in_a_process_list_and_no_part_knows_this_machines_variables(stack: Stack) -> None:
    settings = stack.settings
    secrets = {settings.jwt_secret} | {
        settings.password(server, name)
        for server in ("mongod", "kafka", "cache")
        for name in ("root", "kafka", "default", "user_api", "banking_api", "notifier", "keyfile")
    }
    for part, pid in processes(stack):
        process = psutil.Process(pid)
        assert not [secret for secret in secrets if secret in " ".join(process.cmdline())], part
        if part != SUPERVISOR:
            assert "PYTEST_CURRENT_TEST" not in process.environ(), part


@pytest.fixture(scope="module")
def written(stack: Stack) -> None:
    """A document and a record that must survive what follows."""
    with pymongo.MongoClient(stack.environment("user_api")["MONGO_URI"]) as client:
        client["user_api"]["survivors"].insert_one({"_id": "kept"})
    admin = AdminClient(kafka_settings(stack, ADMINISTRATOR))
    for future in admin.create_topics([NewTopic(TOPIC, 1)]).values():
        future.result(30)
    producer = Producer({**kafka_settings(stack, ADMINISTRATOR), "acks": "all"})
    producer.produce(TOPIC, b"kept")
    assert producer.flush(30) == 0


def assert_all_is_kept(stack: Stack) -> None:
    with pymongo.MongoClient(stack.environment("user_api")["MONGO_URI"]) as client:
        assert client["user_api"]["survivors"].find_one() == {"_id": "kept"}
    settings = {**kafka_settings(stack, ADMINISTRATOR), "group.id": "none", "enable.auto.commit": False}
    consumer = Consumer(settings)
    try:
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
        record = consumer.poll(30)
        assert record is not None
        assert (record.error(), record.value()) == (None, b"kept")
    finally:
        consumer.close()


def test_parts_that_are_killed_come_back_with_their_data(stack: Stack, written: None) -> None:
    killed = {part: kill(pid_of(stack, part)) for part in ALL_PARTS}

    for part, pid in killed.items():
        wait_for_another(stack, part, pid)

    assert_all_is_kept(stack)
    assert all(part.restarts >= 1 for part in stack.status().parts)


def test_a_killed_supervisor_is_replaced_by_one_that_takes_the_parts_over(stack: Stack) -> None:
    before = stack.status()
    kill(before.supervisor_pid)

    after = stack.status()

    assert after.supervisor_pid not in {None, before.supervisor_pid}
    assert [part.pid for part in after.parts] == [part.pid for part in before.parts]
    wait_for_well(stack, "adopted parts healthy")
    killed = kill(pid_of(stack, "gateway"))
    wait_for_another(stack, "gateway", killed)


def test_down_after_a_killed_supervisor_leaves_nothing_and_up_brings_the_data_back(
    stack: Stack, written: None
) -> None:
    kill(stack.status().supervisor_pid)

    answer = command("down")

    assert answer.returncode == 0, answer.stderr
    assert processes(stack) == []
    stack.up()
    assert_all_is_kept(stack)


def read_json(file: Path) -> object:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


@pytest.mark.parametrize(
    "damage",
    [
        lambda stack: stack.layout.state.unlink(),
        lambda stack: stack.layout.state.write_text("{"),
        lambda stack: stack.layout.state.write_text('{"supervisor": null, "parts": {}}'),
        lambda stack: shutil.rmtree(stack.layout.state.parent),
        lambda stack: stack.layout.settings.write_text("{"),
    ],
    ids=["lost", "broken", "emptied", "with its folder", "the stack's own"],
)
def test_a_supervisor_whose_files_are_lost_goes_on_and_writes_them_again(
    stack: Stack, damage: Callable[[Stack], None]
) -> None:
    before = wait_for_well(stack, "the stack before the damage")
    files = [stack.layout.state, stack.layout.intent, stack.layout.settings]
    kept = [read_json(file) for file in files]

    damage(stack)

    wait_until(lambda: [read_json(file) for file in files] == kept, "the files as they were")
    after = wait_for_well(stack, "the stack after the damage")
    assert after.supervisor_pid == before.supervisor_pid
    assert [part.pid for part in after.parts] == [part.pid for part in before.parts]


def test_a_stopped_supervisor_whose_files_are_lost_is_found_and_status_tells_what_runs(stack: Stack) -> None:
    before = stack.status()
    assert before.supervisor_pid is not None
    os.kill(before.supervisor_pid, signal.SIGSTOP)
    try:
        stack.layout.state.unlink()

        found = stack.status()

        assert found.supervisor_pid == before.supervisor_pid
        assert {part.name: part.pid for part in found.parts} == {part.name: part.pid for part in before.parts}
    finally:
        os.kill(before.supervisor_pid, signal.SIGCONT)
    wait_until(lambda: stack.status() == before, "everything to be as it was")


def test_a_supervisor_that_takes_over_needs_no_file(stack: Stack) -> None:
    before = stack.status()
    kill(before.supervisor_pid)
    stack.layout.state.unlink()

    after = stack.status()

    assert after.supervisor_pid not in {None, before.supervisor_pid}
    assert [part.pid for part in after.parts] == [part.pid for part in before.parts]
    wait_for_well(stack, "adopted parts healthy")


@pytest.mark.parametrize("state", [None, "{"], ids=["lost", "broken"])
def test_down_ends_a_stack_whose_state_file_is_lost_or_broken(stack: Stack, state: str | None) -> None:
    supervisor = stack.status().supervisor_pid
    assert supervisor is not None
    # Stopped, it cannot write the file again: what `down` finds, it finds without the file.
    os.kill(supervisor, signal.SIGSTOP)
    stack.layout.state.unlink()
    if state is not None:
        stack.layout.state.write_text(state)

    answer = command("down")

    assert answer.returncode == 0, answer.stderr
    assert processes(stack) == []
    assert has_ended(supervisor)
    stack.up()


def test_of_two_that_start_the_stack_at_once_one_does_it(stack: Stack) -> None:
    assert stack.down()
    ups = [
        subprocess.Popen(
            [sys.executable, "-m", "bankctl.main", "dev", "up", "--stack", NAME],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    told = [process.communicate(timeout=180)[1] for process in ups]

    assert sorted(process.returncode for process in ups) == [0, ExitStatus.CONFLICT], told
    assert any("another command is changing the stack" in text for text in told)
    assert Counter(part for part, _ in processes(stack)) == Counter([*ALL_PARTS, SUPERVISOR])
    wait_for_well(stack, "the stack that one of them started")


def test_down_leaves_nothing_running_and_status_says_so(stack: Stack) -> None:
    supervisor = stack.status().supervisor_pid
    assert supervisor is not None

    assert stack.down()

    assert processes(stack) == []
    assert has_ended(supervisor)
    status = command("status", "-o", "json")
    assert status.returncode == 1
    assert {part["health"] for part in json.loads(status.stdout)["parts"]} == {"stopped"}
    assert not stack.down()


def test_what_the_environment_gives_is_used_and_not_started(
    isolated: Path, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGO_URI", mongo_uri)
    given = Stack.load("given")
    try:
        given.up(wishes=Wishes(parts=("mongod", "user_api")))

        assert {part.name: part.health for part in given.status().parts} == {
            "mongod": "external",
            "user_api": "healthy",
        }
        assert {part for part, _ in processes(given)} == {SUPERVISOR, "user_api"}
        assert given.environment("user_api")["MONGO_URI"] == mongo_uri
    finally:
        given.reset()


def test_a_part_that_refuses_its_settings_is_named_with_its_own_words_and_nothing_runs_on(
    isolated: Path, mongo_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGO_URI", mongo_uri)
    monkeypatch.setenv("JWT_SECRET", "short")
    broken = Stack.load("broken")
    try:
        with pytest.raises(CliError) as raised:
            broken.up(wishes=Wishes(parts=("user_api",)))

        assert raised.value.code == "part_not_healthy"
        assert "user_api does not start" in raised.value.message
        assert "JWT_SECRET" in raised.value.message
        assert processes(broken) == []
    finally:
        broken.reset()


def test_deleting_the_folder_of_a_running_stack_ends_it(isolated: Path) -> None:
    doomed = Stack.load("doomed")
    doomed.up(wishes=Wishes(parts=("gateway",)))

    doomed.layout.settings.unlink()

    wait_until(lambda: processes(doomed) == [], "the gateway to end")
    doomed.reset()
