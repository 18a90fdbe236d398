"""Keys derived from `JWT_SECRET`, one per purpose: no key signs two kinds of token (RFC 8725 §3.1)."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derive(secret: str, purpose: str) -> bytes:
    """Return 32 bytes for one purpose (HKDF-SHA256, RFC 5869)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"bankctl/{purpose}".encode()).derive(
        secret.encode()
    )


def session_signing_key(secret: str) -> Ed25519PrivateKey:
    """Return the key that signs sessions; only user_api calls this."""
    return Ed25519PrivateKey.from_private_bytes(derive(secret, "session-signing"))
