"""What all tokens have in common: EdDSA, a type, a key from an allow-list, the same rules for times."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt.algorithms import OKPAlgorithm
from jwt.exceptions import InvalidKeyError
from jwt.types import Options

from daemons.shared.auth.keys import key_id

ALGORITHM = "EdDSA"
# Clocks of several machines differ a little; an expiry is never stretched.
_CLOCK_SKEW = timedelta(seconds=5)
# They are checked after decoding: the library would grant its leeway to the expiry too.
_TIMES_UNCHECKED: Options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False}


class InvalidTokenError(Exception):
    """The token is not ours, is meant for somebody else, or does not count yet."""


class ExpiredTokenError(InvalidTokenError):
    """The token was good once."""


def sign(claims: Mapping[str, Any], key: Ed25519PrivateKey, *, typ: str) -> str:
    """Return a token that names its type and its key."""
    headers = {"kid": key_id(key.public_key()), "typ": typ}
    return jwt.encode(dict(claims), key, algorithm=ALGORITHM, headers=headers)


def describe_key(key: Ed25519PublicKey) -> dict[str, Any]:
    """Return a key as others learn it: a JSON Web Key (RFC 7517)."""
    jwk: dict[str, Any] = json.loads(OKPAlgorithm.to_jwk(key))
    return {**jwk, "kid": key_id(key), "use": "sig", "alg": ALGORITHM}


def described_keys(jwks: Iterable[Mapping[str, Any]]) -> dict[str, Ed25519PublicKey]:
    """Return the keys that are described, by their ids, leaving out any that are not Ed25519."""
    keys: dict[str, Ed25519PublicKey] = {}
    for jwk in jwks:
        with suppress(InvalidKeyError):
            key = OKPAlgorithm.from_jwk(dict(jwk))
            if isinstance(key, Ed25519PublicKey):
                keys[jwk["kid"]] = key
    return keys


def named_key(token: str, *, typ: str) -> str | None:
    """Return which key the token names; None if it is a token of another type, or none at all."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, ValueError):
        # The library encodes before it checks: bytes that are not text raise a ValueError of the codec.
        return None
    # The type tells our kinds of token apart (RFC 8725 §3.11), and `crit` asks for extensions that are not
    # understood here (RFC 7515 §4.1.11).
    if header.get("typ") != typ or "crit" in header:
        return None
    return str(header.get("kid"))


def read(
    token: str,
    key: Ed25519PublicKey,
    *,
    audience: str,
    issuer: str,
    required: Sequence[str],
    now: datetime,
) -> dict[str, Any]:
    """Return the claims after checking signature, audience, issuer and times; `named_key` has picked the key.

    Raises:
        ExpiredTokenError: only the expiry is against it.
        InvalidTokenError: anything else is.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=audience,
            issuer=issuer,
            options={"require": list(required), **_TIMES_UNCHECKED},
        )
        expires = _seconds(claims["exp"])
        begins = max(_seconds(claims["iat"]), _seconds(claims.get("nbf", 0)))
    except (jwt.InvalidTokenError, ValueError, TypeError) as error:
        raise InvalidTokenError from error
    if begins > (now + _CLOCK_SKEW).timestamp():
        raise InvalidTokenError
    if expires <= now.timestamp():
        raise ExpiredTokenError
    return claims


def _seconds(claim: object) -> int:
    if isinstance(claim, bool) or not isinstance(claim, int):
        raise TypeError
    return claim
