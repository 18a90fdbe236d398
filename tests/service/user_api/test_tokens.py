import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm

from bankctl.local.service_keys import make_key
from daemons.contracts.names import SESSION_COOKIE
from daemons.shared.auth.keys import key_id, read_private_key, session_signing_key
from daemons.shared.clock import utc_now
from tests.support.daemon_keys import PRIVATE_KEYS, calls_of
from tests.support.user_api import SECRET, Person, UserApi, question

KEY = session_signing_key(SECRET)
INTERNAL = [
    ("GET", "/internal/keys", None),
    ("POST", "/internal/callers/verify", question(str(uuid4()))),
    ("GET", f"/internal/users/{uuid4()}", None),
    ("POST", "/internal/users/batch", {"ids": []}),
]


def parts_of(person: Person) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of the person's own token, to be forged."""
    claims = jwt.decode(person.token, options={"verify_signature": False})
    return jwt.get_unverified_header(person.token), claims


async def test_a_token_signed_like_the_real_one_is_taken(user_api: UserApi) -> None:
    person = await user_api.person()
    header, claims = parts_of(person)
    token = jwt.encode(claims, KEY, algorithm="EdDSA", headers=header)
    assert (await user_api.call("GET", "/users/me", token=token)).status_code == 200
    assert header["alg"] == "EdDSA"
    assert set(claims) == {"iss", "aud", "sub", "sid", "jti", "iat", "exp"}


@pytest.mark.parametrize(
    ("changed_claims", "status"),
    [
        ({"exp": 0}, 401),
        ({"exp": -1}, 401),
        ({"iat": 3}, 200),
        ({"nbf": 3}, 200),
        ({"iat": 20}, 401),
        ({"nbf": 20}, 401),
    ],
)
async def test_clocks_may_differ_by_five_seconds_about_the_beginning_never_about_the_end(
    user_api: UserApi, changed_claims: dict[str, int], status: int
) -> None:
    person = await user_api.person()
    header, claims = parts_of(person)
    now = int(utc_now().timestamp())
    claims |= {name: now + seconds for name, seconds in changed_claims.items()}
    token = jwt.encode(claims, KEY, algorithm="EdDSA", headers=header)
    assert (await user_api.call("GET", "/users/me", token=token)).status_code == status


@pytest.mark.parametrize("named", ["jku", "x5u", "jwk", "x5c"])
async def test_keys_and_addresses_in_the_header_are_ignored(user_api: UserApi, named: str) -> None:
    person = await user_api.person()
    header, claims = parts_of(person)
    own = Ed25519PrivateKey.generate()
    key: dict[str, Any] = json.loads(OKPAlgorithm.to_jwk(own.public_key()))
    told = {"jwk": key, "x5c": ["AAAA"]}.get(named, str(user_api.http.base_url))
    for signer, status in ((KEY, 200), (own, 401)):
        token = jwt.encode(claims, signer, algorithm="EdDSA", headers={**header, named: told})
        assert (await user_api.call("GET", "/users/me", token=token)).status_code == status


@pytest.mark.parametrize(
    ("changed_claims", "changed_header"),
    [
        ({"exp": "tomorrow"}, {}),
        ({"iat": True}, {}),
        ({"exp": 1e400}, {}),
        ({}, {"crit": ["exp"]}),
        ({"aud": ["banking_api"]}, {}),
        ({"aud": "anything"}, {}),
        ({"iss": "somebody"}, {}),
        ({"sub": "admin"}, {}),
        ({"sub": 7}, {}),
        ({"sid": {"$ne": None}}, {}),
        ({}, {"typ": "JWT"}),
        ({}, {"typ": "service+jwt"}),
        ({}, {"typ": "refresh+jwt"}),
        ({}, {"kid": "unknown"}),
        *(({claim: None}, {}) for claim in ("iss", "aud", "sub", "sid", "jti", "iat", "exp")),
    ],
)
async def test_a_token_with_another_claim_or_header_is_refused(
    user_api: UserApi, changed_claims: dict[str, Any], changed_header: dict[str, Any]
) -> None:
    person = await user_api.person()
    header, claims = parts_of(person)
    claims = {name: value for name, value in (claims | changed_claims).items() if value is not None}
    # PyJWT would refuse to encode some of these; the bytes are signed all the same.
    body = jwt.api_jws.encode(
        json.dumps(claims).encode(), KEY, algorithm="EdDSA", headers=header | changed_header
    )
    answer = await user_api.call("GET", "/users/me", token=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")


async def test_other_keys_and_algorithms_are_refused(user_api: UserApi) -> None:
    person = await user_api.person()
    header, claims = parts_of(person)
    public = KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    hmac_header = {name: value for name, value in header.items() if name != "alg"}
    jwk = {"jwk": user_api.signer.public_keys[0]}
    forged = {
        "unsigned": jwt.encode(claims, None, algorithm="none", headers=hmac_header),
        "public key as a secret": jwt.encode(claims, public, algorithm="HS256", headers=hmac_header),
        "a service's key": jwt.encode(
            claims, read_private_key(PRIVATE_KEYS["notifier"]), algorithm="EdDSA", headers=header
        ),
        "a key of one's own": jwt.encode(
            claims, Ed25519PrivateKey.generate(), algorithm="EdDSA", headers=header | jwk
        ),
        "another secret": jwt.encode(
            claims, session_signing_key(SECRET + "x"), algorithm="EdDSA", headers=header
        ),
        "cut": person.token.rpartition(".")[0] + ".",
        "no token": "null",
        "dots": "..",
        "a service token": user_api.service_tokens.header_for("user_api")["Authorization"].partition(" ")[2],
    }
    for name, token in forged.items():
        answer = await user_api.call("GET", "/users/me", token=token)
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), name


async def test_an_expired_token_and_one_of_another_user_are_refused(user_api: UserApi) -> None:
    person, other = await user_api.person(), await user_api.person()
    now, hour = utc_now(), timedelta(hours=1)
    session_id = UUID(person.session_id)
    sign = user_api.signer.sign
    old = sign(
        user_id=UUID(person.id), session_id=session_id, issued_at=now - 2 * hour, expires_at=now - hour
    )
    foreign = sign(user_id=UUID(other.id), session_id=session_id, issued_at=now, expires_at=now + hour)
    made_up = sign(user_id=UUID(person.id), session_id=uuid4(), issued_at=now, expires_at=now + hour)
    for token in (old, foreign, made_up):
        answer = await user_api.call("GET", "/users/me", token=token)
        assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")


async def test_a_session_token_counts_in_the_cookie_only(user_api: UserApi) -> None:
    person = await user_api.person()
    answer = await user_api.call("GET", "/users/me", Authorization=f"Bearer {person.token}")
    assert answer.status_code == 401
    assert (await user_api.call("GET", f"/users/me?token={person.token}")).status_code == 401


async def test_the_session_is_found_among_other_cookies_by_its_exact_name(user_api: UserApi) -> None:
    token = (await user_api.person()).token
    name = SESSION_COOKIE
    for cookies, status in (
        (f"a=1; {name}={token}; b=2", 200),
        (f"a;{name} = {token} ;", 200),
        (f"{name}=x; {name}={token}", 200),
        (f"{name}={token}; {name}=x", 401),
        (f"{name}=; a={token}", 401),
        (f"x{name}={token}", 401),
        (f"{name}x={token}", 401),
        (f"{name.lower()}={token}", 401),
        (f"a={name}={token}", 401),
        (name, 401),
        (";=;", 401),
    ):
        answer = await user_api.call("GET", "/users/me", Cookie=cookies)
        assert answer.status_code == status, cookies


async def test_internal_routes_are_for_daemons_with_their_own_token(user_api: UserApi) -> None:
    person = await user_api.person()
    now = utc_now()
    past, ahead = now - timedelta(hours=1), now + timedelta(seconds=20)
    key = read_private_key(PRIVATE_KEYS["banking_api"])
    header = {"typ": "service+jwt", "kid": key_id(key.public_key())}
    claims = {"iss": "banking_api", "sub": "banking_api", "aud": "user_api", "jti": "x", "iat": now}
    claims["exp"] = now + timedelta(seconds=60)

    def signed(
        changed: dict[str, Any], *, by: Any = key, algorithm: str | None = "EdDSA", **headers: str
    ) -> str:
        kept = {name: value for name, value in {**claims, **changed}.items() if value is not None}
        return "Bearer " + jwt.encode(kept, by, algorithm=algorithm, headers={**header, **headers})

    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    refused = [
        "",
        f"Bearer {person.token}",
        calls_of("banking_api", key=make_key()).header_for("user_api")["Authorization"],
        calls_of("banking_api").header_for("notifier")["Authorization"],
        calls_of("notifier", key=PRIVATE_KEYS["banking_api"]).header_for("user_api")["Authorization"],
        calls_of("banking_api", clock=lambda: past).header_for("user_api")["Authorization"],
        calls_of("banking_api", clock=lambda: ahead).header_for("user_api")["Authorization"],
        signed({}).replace("Bearer", "Basic"),
        signed({}, typ="session+jwt"),
        signed({}, typ="JWT"),
        signed({}, kid="unknown"),
        signed({}, crit="exp"),
        signed({}, by=None, algorithm="none"),
        signed({}, by=public, algorithm="HS256"),
        signed({}, by=KEY),
        *(signed({claim: None}) for claim in claims),
    ]
    answer = await user_api.http.get("/internal/keys", headers={"Authorization": signed({})})
    assert answer.status_code == 200
    for method, path, body in INTERNAL:
        for authorization in refused:
            answer = await user_api.call(method, path, body, token=person.token, Authorization=authorization)
            assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in"), (
                path,
                authorization,
            )


@pytest.mark.parametrize(("ahead_seconds", "status"), [(3, 200), (20, 401), (-50, 200), (-70, 401)])
async def test_the_clock_of_a_daemon_may_differ_by_as_much_as_that_of_a_session(
    user_api: UserApi, ahead_seconds: int, status: int
) -> None:
    calling = calls_of("notifier", clock=lambda: utc_now() + timedelta(seconds=ahead_seconds))
    answer = await user_api.http.get("/internal/keys", headers=calling.header_for("user_api"))
    assert answer.status_code == status


async def test_daemons_learn_users_and_keys(user_api: UserApi) -> None:
    users = [await user_api.register(display_name=name) for name in ("Ann", "Bo")]
    shown = [
        {**{name: user[name] for name in ("id", "email", "display_name")}, "version": 1} for user in users
    ]
    one = await user_api.internal("GET", f"/internal/users/{users[0]['id']}")
    assert one.json() == shown[0]
    batch = await user_api.internal(
        "POST", "/internal/users/batch", {"ids": [users[1]["id"], str(uuid4()), users[0]["id"]]}
    )
    assert sorted(batch.json()["users"], key=lambda user: str(user["display_name"])) == shown
    missing = await user_api.internal("GET", f"/internal/users/{uuid4()}")
    assert (missing.status_code, missing.json()["code"]) == (404, "user_not_found")
    too_many = await user_api.internal("POST", "/internal/users/batch", {"ids": [str(uuid4())] * 501})
    assert too_many.json()["errors"][0]["field"] == "ids"
    keys = (await user_api.internal("GET", "/internal/keys")).json()["keys"]
    assert [key["alg"] for key in keys] == ["EdDSA"]
    assert "d" not in keys[0]
