"""The daemon and its shell as processes, the way an operator starts them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pymongo
import pytest

from tests.support.bank import CLOSED_PORT
from tests.support.daemon_keys import secret_variables
from tests.support.user_api import PASSWORD, SECRET, new_email, token_in

RUN = [sys.executable, "-m", "daemons.user_api"]
_START_TIMEOUT_SECONDS = 60


@pytest.fixture
def environment(mongo_uri: str, database_name: str) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        "PATH": os.environ["PATH"],
        "MONGO_URI": mongo_uri,
        "MONGO_DATABASE": database_name,
        **secret_variables("user_api", SECRET),
        "KAFKA_BROKER": CLOSED_PORT,
        "PORT": str(port),
        "TOTP_REQUIRED_ROLES": "",
    }


@pytest.fixture
def daemon(environment: dict[str, str], tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(RUN, env=environment, cwd=tmp_path, stdout=log, stderr=log)
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    try:
        while not answers(environment):
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def answers(environment: dict[str, str]) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{environment['PORT']}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def shell(
    environment: dict[str, str], *arguments: str, password: str = ""
) -> subprocess.CompletedProcess[str]:
    without_port = {name: value for name, value in environment.items() if name != "PORT"}
    return subprocess.run(
        [*RUN, *arguments],
        env=without_port,
        input=f"{password}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_first_operator_is_made_from_the_shell_and_signs_in_over_http(
    environment: dict[str, str], daemon: subprocess.Popen[bytes]
) -> None:
    email = new_email()
    verb = ("create-user", "--email", email, "--display-name", "Olive", "--role", "operator")
    made = shell(environment, *verb, password=PASSWORD)
    assert made.returncode == 0, made.stderr
    user = json.loads(made.stdout)
    assert (user["email"], user["role"]) == (email, "operator")
    assert "argon2" not in made.stdout + made.stderr
    again = shell(environment, *verb, password=PASSWORD)
    assert (again.returncode, again.stdout) == (1, "")
    assert "email_taken" in again.stderr

    with httpx.Client(base_url=f"http://127.0.0.1:{environment['PORT']}") as http:
        http.headers["X-Requested-With"] = "bankctl"
        answer = http.post("/auth/login", json={"email": email, "password": PASSWORD})
        assert answer.json()["user"] == user
        cookie = {"Cookie": f"__Host-bankctl={token_in(answer)}"}
        granted = shell(environment, "grant-role", "--email", email.upper(), "--role", "admin")
        assert json.loads(granted.stdout)["role"] == "admin"
        assert http.get("/users/me", headers=cookie).json()["code"] == "session_ended"
        assert http.get("/metrics").text.count("bankctl_http_request_seconds_count") > 0
        assert http.get("/openapi.json").json()["openapi"] == "3.1.0"
    daemon.send_signal(signal.SIGTERM)
    assert daemon.wait(30) == 0


@pytest.mark.parametrize(
    ("arguments", "password", "status", "said"),
    [
        (
            ("--email", "a@b.example", "--display-name", "A", "--role", "operator"),
            "short",
            1,
            "weak_password",
        ),
        (("--email", "a@b.example", "--display-name", "A", "--role", "operator"), "", 1, "password"),
        (("--email", "nobody", "--display-name", "A"), PASSWORD, 1, "email"),
        (("--email", "a@b.example", "--display-name", "A\x1b[31m"), PASSWORD, 1, "display_name"),
        (("--email", "a@b.example", "--display-name", "A", "--role", "root"), PASSWORD, 2, "--role"),
        (("--email", "a@b.example"), PASSWORD, 2, "--display-name"),
    ],
)
def test_the_shell_refuses_in_words_and_adds_nobody(
    environment: dict[str, str], arguments: tuple[str, ...], password: str, status: int, said: str
) -> None:
    answer = shell(environment, "create-user", *arguments, password=password)
    assert (answer.returncode, answer.stdout) == (status, "")
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
    with pymongo.MongoClient(environment["MONGO_URI"]) as client:
        assert client[environment["MONGO_DATABASE"]]["users"].count_documents({}) == 0


def test_a_lost_second_factor_is_reset_from_the_shell(environment: dict[str, str]) -> None:
    email = new_email()
    shell(environment, "create-user", "--email", email, "--display-name", "Olive", password=PASSWORD)
    reset = ("reset-second-factor", "--reason", "phone lost", "--email")
    assert json.loads(shell(environment, *reset, email).stdout)["email"] == email
    unknown = shell(environment, *reset, new_email())
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "user_not_found" in unknown.stderr


def test_a_role_is_granted_to_known_users_only(environment: dict[str, str]) -> None:
    answer = shell(environment, "grant-role", "--email", new_email(), "--role", "admin")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "user_not_found" in answer.stderr


def test_a_daemon_without_its_database_says_so_and_waits(environment: dict[str, str], tmp_path: Path) -> None:
    """It may start while a primary is elected: a daemon that ends then leaves the bank without sign-in."""
    gone = environment | {"MONGO_URI": "mongodb://127.0.0.1:1/?replicaSet=rs0"}
    log = tmp_path / "user_api.log"
    with log.open("wb") as output, subprocess.Popen(RUN, env=gone, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + 60
            while log.read_text().count("does not answer") < 2 and time.monotonic() < deadline:
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            assert log.read_text().count("does not answer") >= 2, log.read_text()
        finally:
            process.kill()
    assert "Traceback" not in log.read_text()
