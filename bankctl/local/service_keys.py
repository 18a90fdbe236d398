"""The key pairs by which the daemons of a stack know each other, in the form that their settings take."""

import base64

from daemons.contracts.names import Daemon

CALLERS = {
    Daemon.USER_API.value: (Daemon.BANKING_API.value, Daemon.NOTIFIER.value),
    Daemon.NOTIFIER.value: (Daemon.USER_API.value,),
}
"""Who calls a daemon: it has their public keys."""
CALLING_DAEMONS = tuple(daemon.value for daemon in Daemon)
"""Each signs its calls with a key of its own."""


def make_key() -> str:
    """Make a private key (Ed25519, PKCS #8 in DER, base64)."""
    # Imported here: most commands start no stack, and need not load a cryptography library.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    made = Ed25519PrivateKey.generate()
    return _text(made.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def public_key_of(private_key: str) -> str:
    """Return the public key (SubjectPublicKeyInfo in DER, base64) of a private one."""
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        Encoding,
        PublicFormat,
        load_der_private_key,
    )

    public = load_der_private_key(base64.b64decode(private_key), password=None).public_key()
    return _text(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _text(der: bytes) -> str:
    return base64.b64encode(der).decode()
