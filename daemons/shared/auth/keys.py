"""The keys of tokens: those that user_api derives from `JWT_SECRET`, and one key pair for each other daemon.

No key signs two kinds of token (RFC 8725 §3.1), and a daemon that only verifies has the public key only.
"""

from base64 import b64decode, urlsafe_b64encode
from contextlib import suppress

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
)

_HOW_TO_MAKE = "openssl genpkey -algorithm ed25519 -outform DER | base64 -w 0"
_HOW_TO_SHOW = (
    "show that of a private one with: base64 -d | openssl pkey -inform DER -pubout -outform DER | base64 -w 0"
)


def derive(secret: str, purpose: str) -> bytes:
    """Return 32 bytes for one purpose (HKDF-SHA256, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"bankctl/{purpose}".encode()).derive(
        secret.encode()
    )


def session_signing_key(secret: str) -> Ed25519PrivateKey:
    """Return the key that signs sessions; only user_api calls this."""
    return Ed25519PrivateKey.from_private_bytes(derive(secret, "session-signing"))


def confirmation_signing_key(secret: str) -> Ed25519PrivateKey:
    """Return the key that signs confirmations of payments; only user_api calls this."""
    return Ed25519PrivateKey.from_private_bytes(derive(secret, "payment-confirmations"))


def read_private_key(text: str) -> Ed25519PrivateKey:
    """Return the key that a setting holds: PKCS #8 in DER, in base64.

    Raises:
        ValueError: it is not such a key; the message says how to make one.
    """
    with suppress(ValueError, TypeError, UnsupportedAlgorithm):
        key = load_der_private_key(b64decode(text, validate=True), password=None)
        if isinstance(key, Ed25519PrivateKey):
            return key
    raise ValueError(f"must be a private Ed25519 key; make one with: {_HOW_TO_MAKE}")


def read_public_keys(text: str) -> list[Ed25519PublicKey]:
    """Return the keys that a setting lists, separated by commas: SubjectPublicKeyInfo in DER, in base64.

    Raises:
        ValueError: one of them is not a key; the message says how to make one.
    """
    return [_read_public_key(part.strip()) for part in text.split(",") if part.strip()]


def _read_public_key(text: str) -> Ed25519PublicKey:
    with suppress(ValueError, UnsupportedAlgorithm):
        key = load_der_public_key(b64decode(text, validate=True))
        if isinstance(key, Ed25519PublicKey):
            return key
    raise ValueError(f"must list public Ed25519 keys, separated by commas; {_HOW_TO_SHOW}")


def key_id(key: Ed25519PublicKey) -> str:
    """Return the name under which a token says who signed it: the beginning of the public key."""
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return urlsafe_b64encode(raw).decode()[:16]
