"""Tokens and their keys by themselves: what is signed, and every forgery that is refused."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from daemons.contracts.errors import UnauthenticatedError
from daemons.contracts.permissions import Permission, Role
from daemons.shared.auth.api_keys import api_key_digest, api_key_in
from daemons.shared.auth.callers import Caller
from daemons.shared.auth.keys import (
    derive,
    key_id,
    read_private_key,
    read_public_keys,
    session_signing_key,
)
from daemons.shared.auth.service_tokens import ServiceTokenSigner, ServiceTokenVerifier
from daemons.shared.auth.session_tokens import (
    SessionClaims,
    SessionSigner,
    SessionVerifier,
    verifier_from_jwks,
)
from daemons.shared.auth.signed_tokens import ExpiredTokenError, InvalidTokenError, named_key, read, sign

NOW = datetime(2026, 11, 23, 5, 34, 42, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
KEY, PREVIOUS, FORGER = [Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3)]
ANN, SESSION = UUID(int=7), UUID(int=8)
SERVICE_CLAIMS = {"iss": "notifier", "sub": "notifier", "aud": "user_api", "jti": "x", "iat": SECONDS}


def signer() -> SessionSigner:
    return SessionSigner(KEY, previous=[PREVIOUS])


def key_ids(*keys: Ed25519PrivateKey) -> list[str]:
    """Return the beginnings of the public keys in base64url, by which tokens name them."""
    raw = [key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) for key in keys]
    return [base64.urlsafe_b64encode(one).decode()[:16] for one in raw]


def session_token(**changed: Any) -> str:
    """Return a token of Ann's session with other claims (None leaves one out), key or header."""
    by = changed.pop("by", KEY)
    header = {"typ": "session+jwt", "kid": key_ids(KEY)[0], "alg": "EdDSA"}
    header |= {name: changed.pop(name) for name in ("typ", "kid", "crit") if name in changed}
    claims: dict[str, Any] = {
        "iss": "bankctl/user_api",
        "aud": ["user_api", "banking_api", "notifier"],
        "sub": str(ANN),
        "sid": str(SESSION),
        "jti": "x",
        "iat": SECONDS,
        "exp": SECONDS + 600,
    } | changed
    body = json.dumps({name: value for name, value in claims.items() if value is not None})
    return jwt.api_jws.encode(body.encode(), by, algorithm="EdDSA", headers=header)


def verifier(audience: str = "banking_api", *, now: datetime = NOW) -> SessionVerifier:
    return verifier_from_jwks(audience, signer().public_keys, clock=lambda: now)


def refusal(token: str, *, now: datetime = NOW, audience: str = "banking_api") -> str | None:
    try:
        verifier(audience, now=now).verify(token)
    except UnauthenticatedError as refused:
        return refused.code
    return None


def test_what_is_signed_is_read_by_every_daemon_until_it_expires() -> None:
    end = NOW + timedelta(minutes=10)
    token = signer().sign(user_id=ANN, session_id=SESSION, issued_at=NOW, expires_at=end)
    for audience in ("user_api", "banking_api", "notifier"):
        assert verifier(audience).verify(token) == SessionClaims(ANN, SESSION, SECONDS + 600)
    assert refusal(token, audience="somebody") == "not_signed_in"
    assert refusal(token, now=end - timedelta(seconds=1)) is None
    assert refusal(token, now=end) == "session_ended"
    [kid] = key_ids(KEY)
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "session+jwt", "kid": kid}
    claims = jwt.decode(token, options={"verify_signature": False})
    assert UUID(claims.pop("jti")).version == 7
    assert claims == {
        "iss": "bankctl/user_api",
        "aud": ["user_api", "banking_api", "notifier"],
        "sub": str(ANN),
        "sid": str(SESSION),
        "iat": SECONDS,
        "exp": SECONDS + 600,
    }


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({}, None),
        ({"aud": "banking_api"}, None),
        ({"by": PREVIOUS, "kid": key_ids(PREVIOUS)[0]}, None),
        ({"by": PREVIOUS}, "not_signed_in"),
        ({"by": FORGER}, "not_signed_in"),
        ({"by": FORGER, "kid": key_ids(FORGER)[0]}, "not_signed_in"),
        ({"kid": ""}, "not_signed_in"),
        ({"kid": "None"}, "not_signed_in"),
        ({"typ": "service+jwt"}, "not_signed_in"),
        ({"typ": "JWT"}, "not_signed_in"),
        ({"crit": ["exp"]}, "not_signed_in"),
        ({"iss": "bankctl"}, "not_signed_in"),
        ({"aud": ["user_api", "notifier"]}, "not_signed_in"),
        *(({name: None}, "not_signed_in") for name in ("iss", "aud", "sub", "sid", "jti", "iat", "exp")),
        *(({name: "x"}, "not_signed_in") for name in ("sub", "sid", "exp", "iat", "nbf")),
        *(({name: 7}, "not_signed_in") for name in ("sub", "sid")),
        *(({name: True}, "not_signed_in") for name in ("exp", "iat", "nbf")),
        ({"exp": SECONDS + 1.5}, "not_signed_in"),
        ({"exp": SECONDS + 1}, None),
        ({"exp": SECONDS}, "session_ended"),
        ({"iat": SECONDS + 5}, None),
        ({"iat": SECONDS + 6}, "not_signed_in"),
        ({"nbf": SECONDS + 5}, None),
        ({"nbf": SECONDS + 6}, "not_signed_in"),
        ({"nbf": SECONDS + 6, "iat": SECONDS - 6}, "not_signed_in"),
        ({"iat": SECONDS + 6, "exp": SECONDS}, "not_signed_in"),
    ],
)
def test_a_session_token_is_taken_as_it_was_signed_only(changed: dict[str, Any], code: str | None) -> None:
    assert refusal(session_token(**changed)) == code


@pytest.mark.parametrize("text", ["", "..", "null", "a.b.c", "\u00e9", "\ud800", session_token()[:-2]])
def test_what_is_no_token_is_refused(text: str) -> None:
    assert refusal(text) == "not_signed_in"


def test_it_is_told_which_key_is_asked_for_before_anything_is_verified() -> None:
    token = session_token(kid="new")
    assert named_key(token, typ="session+jwt") == "new"
    assert named_key(token, typ="service+jwt") is None
    assert named_key(session_token(crit=["exp"]), typ="session+jwt") is None
    assert verifier().knows(session_token())
    assert not verifier().knows(token)
    with pytest.raises(UnauthenticatedError) as refused:
        verifier().knows(session_token(typ="JWT"))
    assert refused.value.code == "not_signed_in"


def test_the_published_keys_are_public_ones_and_those_of_another_kind_are_left_out() -> None:
    keys = signer().public_keys
    assert [key["kid"] for key in keys] == key_ids(KEY, PREVIOUS)
    assert signer().key_id == key_ids(KEY)[0]
    for key in keys:
        assert {name: key[name] for name in ("kty", "crv", "use", "alg")} == {
            "kty": "OKP",
            "crv": "Ed25519",
            "use": "sig",
            "alg": "EdDSA",
        }
        assert key.keys() == {"kty", "crv", "x", "kid", "use", "alg"}
    other = json.loads(ECAlgorithm.to_jwk(generate_private_key(SECP256R1()).public_key()))
    x25519 = {"kty": "OKP", "crv": "X25519", "x": keys[0]["x"], "kid": "exchange"}
    ed448 = json.loads(OKPAlgorithm.to_jwk(Ed448PrivateKey.generate().public_key()))
    foreign = [{**other, "kid": "curve"}, {**ed448, "kid": "long"}, x25519]
    mixed = verifier_from_jwks("notifier", [*foreign, *keys])
    assert mixed.knows(session_token())
    assert [mixed.knows(session_token(kid=one["kid"])) for one in foreign] == [False] * 3
    assert not verifier_from_jwks("notifier", []).knows(session_token())


def service_verifier(now: datetime = NOW) -> ServiceTokenVerifier:
    callers = {"banking_api": [KEY.public_key()], "notifier": [PREVIOUS.public_key(), FORGER.public_key()]}
    return ServiceTokenVerifier("user_api", callers, clock=lambda: now)


def service_header(**changed: Any) -> str:
    by = changed.pop("by", PREVIOUS)
    header = {"typ": "service+jwt", "kid": key_ids(by)[0]}
    header |= {name: changed.pop(name) for name in ("typ", "kid") if name in changed}
    claims = {**SERVICE_CLAIMS, "exp": SECONDS + 60, **changed}
    kept = {name: value for name, value in claims.items() if value is not None}
    return "Bearer " + jwt.encode(kept, by, algorithm="EdDSA", headers=header)


def test_a_daemon_proves_itself_for_a_minute_to_the_one_it_calls() -> None:
    sent = ServiceTokenSigner("banking_api", KEY, clock=lambda: NOW).header_for("user_api")
    assert list(sent) == ["Authorization"]
    header = sent["Authorization"]
    claims = jwt.decode(header.removeprefix("Bearer "), options={"verify_signature": False})
    assert UUID(claims.pop("jti"))
    assert claims == {
        "iss": "banking_api",
        "sub": "banking_api",
        "aud": "user_api",
        "iat": SECONDS,
        "exp": SECONDS + 60,
    }
    assert service_verifier().verify(header) == "banking_api"
    assert service_verifier(NOW + timedelta(seconds=59)).verify(header) == "banking_api"
    for late in (60, 61):
        with pytest.raises(UnauthenticatedError):
            service_verifier(NOW + timedelta(seconds=late)).verify(header)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {session_token()}",
        service_header().replace("Bearer", "bearer"),
        service_header().replace("Bearer", "Basic"),
        service_header().removeprefix("Bearer "),
        service_header(iss="banking_api"),
        service_header(by=KEY),
        service_header(by=KEY, kid=key_ids(PREVIOUS)[0], iss="banking_api"),
        service_header(aud="banking_api"),
        service_header(typ="session+jwt"),
        service_header(kid="unknown"),
        service_header(exp=SECONDS),
        service_header(iat=SECONDS + 6),
        *(service_header(**{name: None}) for name in ("exp", "iat", "iss", "aud", "sub", "jti")),
    ],
)
def test_no_other_header_passes_for_a_daemon(header: str | None) -> None:
    # Either of its two keys will do while one is being replaced.
    for key in (PREVIOUS, FORGER):
        assert service_verifier().verify(service_header(by=key)) == "notifier"
    with pytest.raises(UnauthenticatedError) as refused:
        service_verifier().verify(header)
    assert refused.value.code == "not_signed_in"


def test_expired_and_invalid_are_told_apart() -> None:
    given: dict[str, Any] = {"audience": "user_api", "issuer": "notifier", "required": ["jti"], "now": NOW}
    good = sign({**SERVICE_CLAIMS, "exp": SECONDS + 1}, KEY, typ="service+jwt")
    assert read(good, KEY.public_key(), **given)["sub"] == "notifier"
    with pytest.raises(ExpiredTokenError):
        read(sign({**SERVICE_CLAIMS, "exp": SECONDS}, KEY, typ="x"), KEY.public_key(), **given)
    with pytest.raises(InvalidTokenError) as invalid:
        read(good, PREVIOUS.public_key(), **given)
    assert not isinstance(invalid.value, ExpiredTokenError)
    with pytest.raises(InvalidTokenError):
        read(good, KEY.public_key(), **{**given, "required": ["jti", "sid"]})


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"Authorization": "Bearer bk_x"}, "bk_x"),
        ({"Authorization": "bearer bk_x"}, "bk_x"),
        ({"Authorization": "Bearer bk_x y"}, "bk_x y"),
        ({"Authorization": "Bearer x"}, None),
        ({"Authorization": "Bearer BK_x"}, None),
        ({"Authorization": "Basic bk_x"}, None),
        ({"Authorization": "bk_x"}, None),
        ({}, None),
    ],
)
def test_an_api_key_is_what_begins_like_one(headers: dict[str, str], found: str | None) -> None:
    assert api_key_in(headers) == found
    assert api_key_digest("bk_x") == hashlib.sha256(b"bk_x").hexdigest()


def test_a_caller_may_do_what_role_and_scopes_both_allow() -> None:
    support = Caller(ANN, SESSION, Role.SUPPORT, "Ann")
    assert support.may(Permission.READ_USERS)
    assert not support.may(Permission.MANAGE_USERS)
    scopes = frozenset({Permission.READ_AUDIT, Permission.MANAGE_USERS})
    script = Caller(ANN, SESSION, Role.SUPPORT, "Ann", scopes, "digest-of-the-key")
    assert script.may(Permission.READ_AUDIT)
    assert not script.may(Permission.READ_USERS)
    assert not script.may(Permission.MANAGE_USERS)
    assert "digest-of-the-key" not in repr(script)


def test_each_purpose_has_a_key_of_its_own() -> None:
    secret = "a secret of the tests"
    # HKDF-SHA256 with one block, by hand (RFC 5869).
    extracted = hmac.digest(bytes(32), secret.encode(), "sha256")
    expected = hmac.digest(extracted, b"bankctl/session-signing\x01", "sha256")
    assert derive(secret, "session-signing") == expected
    assert session_signing_key(secret).private_bytes_raw() == expected
    assert derive(secret, "refresh-tokens") != expected
    assert derive(secret + "x", "session-signing") != expected
    assert key_id(KEY.public_key()) == key_ids(KEY)[0]


def private_text(key: Any = KEY, format_: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return base64.b64encode(key.private_bytes(Encoding.DER, format_, NoEncryption())).decode()


def public_text(key: Any = KEY) -> str:
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def test_the_keys_of_settings_are_read() -> None:
    assert read_private_key(private_text()).private_bytes_raw() == KEY.private_bytes_raw()
    assert read_public_keys("") == []
    both = f" {public_text(KEY)} ,, {public_text(PREVIOUS)},"
    assert [key_id(key) for key in read_public_keys(both)] == key_ids(KEY, PREVIOUS)


def of_no_kind(text: str) -> str:
    """Return a key whose kind (1.3.101.112, Ed25519) is changed to one that does not exist."""
    return base64.b64encode(base64.b64decode(text).replace(b"\x2b\x65\x70", b"\x2b\x65\x7f")).decode()


OTHER_KIND = generate_private_key(SECP256R1())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no key",
        "AAAA",
        "!" + private_text(),
        public_text(),
        private_text(OTHER_KIND),
        # With a password, and of a kind that there is not.
        base64.b64encode(
            KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
        ).decode(),
        of_no_kind(private_text()),
    ],
)
def test_what_is_no_private_key_is_refused_with_how_to_make_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be a private Ed25519 key; .* openssl genpkey"):
        read_private_key(text)


@pytest.mark.parametrize(
    "text",
    [
        "no key",
        "AAAA",
        "!" + public_text(),
        private_text(),
        public_text(OTHER_KIND),
        "x," + public_text(),
        of_no_kind(public_text()),
    ],
)
def test_what_is_no_public_key_is_refused_with_how_to_show_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must list public Ed25519 keys.*; show .* openssl pkey"):
        read_public_keys(text)
