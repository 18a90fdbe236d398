"""What somebody who reads the whole environment of one daemon can issue: nothing that is another's."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bankctl.local import settings as stack_settings
from bankctl.local.layout import Layout
from bankctl.local.plan import environment as local_environment
from bankctl.local.service_keys import make_key, public_key_of
from daemons.contracts.permissions import Role
from daemons.shared.auth.keys import derive, key_id, read_private_key
from daemons.shared.auth.service_tokens import ServiceTokenSigner
from daemons.user_api.second_factor.routes import SECOND_FACTORS_KEY
from daemons.user_api.second_factor.sealing import Sealer
from tests.support.compose_kafka import service_environment
from tests.support.daemon_keys import calls_of
from tests.support.user_api import Person, UserApi, running_user_api

DAEMONS = ("user_api", "banking_api", "notifier")
# Whatever the code derives keys for, and what it did before the keys were taken apart.
PURPOSES = (
    *("session-signing", "service-tokens", "second-factors", "refresh-tokens"),
    *("sign-in-attempts", "mailed-codes"),
)
Environments = Mapping[str, Mapping[str, str]]


def of_a_local_stack(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Environments:
    monkeypatch.setenv("BANKCTL_HOME", str(folder))
    chosen = stack_settings.choose(Layout.of("local"), None, None)
    return {daemon: local_environment(chosen, {}, daemon) for daemon in DAEMONS}


def of_compose(_folder: Path, _monkeypatch: pytest.MonkeyPatch) -> Environments:
    return {daemon: service_environment(daemon) for daemon in DAEMONS}


@pytest.fixture(params=[of_a_local_stack, of_compose])
def environments(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Environments:
    """What each daemon is given, locally and by compose.yaml."""
    make: Callable[[Path, pytest.MonkeyPatch], Environments] = request.param
    return make(tmp_path, monkeypatch)


@pytest.fixture
async def api(environments: Environments, mongo_uri: str, database_name: str) -> AsyncIterator[UserApi]:
    """user_api with the keys of its environment."""
    given = environments["user_api"]
    names = ("jwt_secret", "banking_api_public_keys", "notifier_public_keys")
    keys = {name: given[name.upper()] for name in names}
    async with running_user_api(mongo_uri, database_name, secret=keys.pop("jwt_secret"), **keys) as running:
        yield running


def signing_keys(environment: Mapping[str, str]) -> list[Ed25519PrivateKey]:
    """Every key that can be read from an environment or derived from something in it."""
    found = []
    for text in environment.values():
        with suppress(ValueError):
            found.append(read_private_key(text))
        found += [Ed25519PrivateKey.from_private_bytes(derive(text, purpose)) for purpose in PURPOSES]
    return found


async def mints_a_session(api: UserApi, environment: Mapping[str, str], admin: Person) -> bool:
    """Try to forge a token of the administrator's session, under each key and each name of a key."""
    claims: dict[str, Any] = jwt.decode(admin.token, options={"verify_signature": False})
    for key in signing_keys(environment):
        for kid in (api.signer.key_id, key_id(key.public_key())):
            token = jwt.encode(claims, key, algorithm="EdDSA", headers={"typ": "session+jwt", "kid": kid})
            if (await api.call("GET", "/users?limit=1", token=token)).status_code == 200:
                return True
    return False


def opens_a_second_factor(api: UserApi, environment: Mapping[str, str]) -> bool:
    """Try to open what user_api has sealed."""
    owner: UUID = uuid4()
    sealed = api.app[SECOND_FACTORS_KEY]._sealer.seal("the secret of an app", owner)
    keys = [derive(text, purpose) for text in environment.values() for purpose in PURPOSES]
    return any(Sealer([key]).open(sealed, owner) is not None for key in keys)


async def calls_as(api: UserApi, environment: Mapping[str, str], daemon: str) -> bool:
    """Try to call user_api in the name of a daemon."""
    for key in signing_keys(environment):
        header = ServiceTokenSigner(daemon, key).header_for("user_api")
        answer = await api.http.get(f"/internal/users/{uuid4()}", headers=header)
        assert answer.status_code in {401, 404}
        if answer.status_code == 404:
            return True
    return False


async def test_the_environment_of_one_daemon_mints_nothing_that_another_must_issue(
    environments: Environments, api: UserApi
) -> None:
    admin = await api.person(Role.ADMIN)

    found = {
        daemon: {
            "sessions": await mints_a_session(api, given, admin),
            "second factors": opens_a_second_factor(api, given),
            "calls as": [name for name in DAEMONS if await calls_as(api, given, name)],
        }
        for daemon, given in environments.items()
    }

    # user_api's own row shows that the attempts are good enough to succeed where they should.
    assert found == {
        "user_api": {"sessions": True, "second factors": True, "calls as": []},
        "banking_api": {"sessions": False, "second factors": False, "calls as": ["banking_api"]},
        "notifier": {"sessions": False, "second factors": False, "calls as": ["notifier"]},
    }


async def test_a_daemon_gets_another_key_without_a_break(mongo_uri: str, database_name: str) -> None:
    old, new = make_key(), make_key()

    async def taken(public_keys: str) -> list[int]:
        async with running_user_api(mongo_uri, database_name, banking_api_public_keys=public_keys) as running:
            headers = [calls_of("banking_api", key=key).header_for("user_api") for key in (old, new)]
            answers = [await running.http.get("/internal/keys", headers=header) for header in headers]
        return [answer.status_code for answer in answers]

    assert await taken(public_key_of(old)) == [200, 401]
    assert await taken(f"{public_key_of(new)}, {public_key_of(old)}") == [200, 200]
    assert await taken(public_key_of(new)) == [401, 200]
    assert await taken("") == [401, 401]
