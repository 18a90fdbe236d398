"""What holds for every route of every daemon, asked of the real ones (docs/security.md, items 17, 20, 24)."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from daemons.contracts.kafka_accounts import KAFKA_GRANTS
from daemons.contracts.permissions import ADMINISTRATIVE
from daemons.shared.http.routes import Routes
from tests.support.callers import KINDS, Callers, routes
from tests.support.compose_kafka import SECRETS, service_environment
from tests.support.whole_bank import WholeBank, running_whole_bank

REPOSITORY = Path(__file__).parents[2]
ADMIN, OWNER = (next(kind for kind in KINDS if kind.name == name) for name in ("admin", "owner"))


@pytest.fixture(scope="module")
async def whole(mongo_uri: str) -> AsyncIterator[WholeBank]:
    async with running_whole_bank(mongo_uri) as running:
        yield running


@pytest.fixture(scope="module")
async def callers(whole: WholeBank) -> Callers:
    callers = Callers(whole)
    await callers.prepare()
    return callers


async def test_no_answer_lets_another_site_read_it(whole: WholeBank, callers: Callers) -> None:
    foreign = {"Origin": "https://evil.example", **callers.person("admin").headers}
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "X-Requested-With",
    }
    for daemon, route in routes():
        url = whole.origins[daemon] + callers.path_of(route)
        asked = await whole.bank.http.options(url, headers={**foreign, **preflight})
        assert asked.status_code == 405, route.path
        answers = [asked]
        if route.method == "GET" and route.path != "/events":
            answers.append(await whole.bank.http.get(url, headers=foreign))
        for answer in answers:
            assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


async def test_reading_writes_nothing(whole: WholeBank, callers: Callers) -> None:
    async def stored() -> dict[str, Any]:
        kept = {
            "ledger": (whole.ledger, ("accounts", "journal", "audit", "audit_head", "approvals")),
            "users": (whole.bank.users, ("users", "audit", "audit_head", "approvals", "api_keys")),
            "events": (whole.events, ("events", "dead_letters", "intake", "audit", "audit_head")),
        }
        return {
            f"{area}.{name}": await database[name].find().sort("_id").to_list()
            for area, (database, names) in kept.items()
            for name in names
        }

    before = await stored()
    for daemon, route in routes():
        if route.method == "GET":
            status, _ = await callers.call(daemon, route, ADMIN)
            assert status < 500
    assert await stored() == before


async def test_every_daemon_records_whom_it_refuses_at_staff_routes(
    whole: WholeBank, callers: Callers
) -> None:
    refused = set()
    for daemon, route in routes():
        if route.permission in ADMINISTRATIVE:
            assert (await callers.call(daemon, route, OWNER))[0] == 403
            refused.add((daemon, f"{route.method} {route.path}"))
    owner = {"action": "access.refused", "actor.user_id": callers.person("owner").user_id}
    kept = {"user_api": whole.bank.users, "banking_api": whole.ledger, "notifier": whole.events}
    recorded = {
        (daemon, target)
        for daemon, database in kept.items()
        for target in await database["audit"].distinct("target.id", owner)
    }
    assert {daemon for daemon, _ in refused} == set(kept)
    assert recorded == refused


def test_a_route_cannot_be_declared_without_saying_who_may_call_it() -> None:
    undeclared = cast("Any", Routes("x")).add
    with pytest.raises(TypeError, match="permission"):
        undeclared("GET", "/x")


def test_each_daemon_reaches_its_own_database_only_and_no_secret_is_in_the_repository() -> None:
    users = (REPOSITORY / "deploy" / "mongo-init.js").read_text(encoding="utf-8")
    assert re.findall(r"roles: \[(.+)\]", users) == ['{ role: "daemon", db: daemon }']
    compose = (REPOSITORY / "compose.yaml").read_text(encoding="utf-8")
    secrets = [
        line
        for line in compose.splitlines()
        if re.search(r"(PASSWORD|SECRET)\w*:", line) and not line.strip().startswith("#")
    ]
    assert secrets
    assert [line for line in secrets if "${" not in line] == []
    assert re.findall(r"mongodb://(\w+):\$\{MONGO_(\w+)_PASSWORD:\?\}@[^/]+/(\w+)\?", compose) == [
        (daemon, daemon.upper(), daemon) for daemon in ("user_api", "banking_api", "notifier")
    ]
    assert "inside:\n    internal: true" in compose


def test_each_daemon_does_at_kafka_what_it_is_there_for_and_nobody_comes_without_an_account() -> None:
    kafka = service_environment("kafka")
    protocols = dict(pair.split(":") for pair in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(","))
    assert set(protocols.values()) == {"SASL_PLAINTEXT"}
    listeners = dict(pair.split("://") for pair in kafka["KAFKA_LISTENERS"].split(","))
    assert set(listeners) == set(protocols)
    # The password of the super user would travel there in the clear, so it stays within the container.
    assert {name for name, address in listeners.items() if not address.startswith("localhost:")} == {
        "CLIENTS"
    }
    assert kafka["KAFKA_LISTENER_NAME_CLIENTS_SASL_ENABLED_MECHANISMS"] == "SCRAM-SHA-512"
    assert kafka["KAFKA_AUTHORIZER_CLASS_NAME"].endswith(".StandardAuthorizer")
    assert kafka["KAFKA_ALLOW_EVERYONE_IF_NO_ACL_FOUND"] == "false"
    assert kafka["KAFKA_SUPER_USERS"] == "User:kafka"
    passwords = {SECRETS["KAFKA_ROOT_PASSWORD"]}
    for grant in KAFKA_GRANTS:
        daemon = service_environment(grant.account)
        assert (daemon["KAFKA_SECURITY"], daemon["KAFKA_USERNAME"]) == ("sasl_plaintext", grant.account)
        passwords.add(daemon["KAFKA_PASSWORD"])
    assert len(passwords) == 1 + len(KAFKA_GRANTS)
    # banking_api reads how its own topics end, and consumes nothing.
    assert [(grant.account, grant.group) for grant in KAFKA_GRANTS if grant.writes and grant.reads] == [
        ("banking_api", None)
    ]
