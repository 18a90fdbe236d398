"""Checkpoints: what the bank signs of its journal, as a C2SP tlog-checkpoint in a signed note.

    bankctl/<the bank's id>
    <number of seals>
    <root of the tree of seals, base64>
    records <number of records>
    time <when it was signed>
    states <digest of all accounts, base64>     only if the books were proved up to here

    — bankctl/<the bank's id> <key id and Ed25519 signature, base64>

Other tools that read such notes can check them. The module loads quickly: the package that checks signatures
is loaded when one is checked.
"""

import binascii
import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from daemons.contracts.merkle import HASH_BYTES

_ED25519 = b"\x01"
_KEY_BYTES = 32
_ID_BYTES = 4
_SIGNED_BY = "\u2014 "
_FIXED_LINES = 3
LARGEST_NOTE = 4096
RECEIPT_FORMAT = "bankctl receipt 1"
"""What a receipt says that it is."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How many seals and records there were, and the root over all of them."""

    origin: str
    size: int
    root: bytes
    records: int
    time: str
    states: bytes | None = None
    """The digest of all accounts at that point, if the books were proved."""

    def text(self) -> str:
        """Return what is signed."""
        lines = [self.origin, str(self.size), b64encode(self.root).decode()]
        lines += [f"records {self.records}", f"time {self.time}"]
        if self.states is not None:
            lines.append(f"states {b64encode(self.states).decode()}")
        return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True, slots=True)
class CheckpointKey:
    """A public key that signs checkpoints, under the name of the bank."""

    name: str
    public: bytes

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that tell the bank's keys apart."""
        return _id_of(self.name, self.public).hex()

    def text(self) -> str:
        """Return it as others take it: name, id and key."""
        return f"{self.name}+{self.id}+{b64encode(_ED25519 + self.public).decode()}"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint, the note that says so, and the key that has signed it."""

    checkpoint: Checkpoint
    note: str
    key: CheckpointKey


def origin_of(bank_id: str) -> str:
    """Return the name of a bank's journal."""
    return f"bankctl/{bank_id}"


def read_key(text: str) -> CheckpointKey:
    """Return the key that a text holds.

    Raises:
        ValueError: it is no such key.
    """
    name, _, rest = text.strip().partition("+")
    id_, _, encoded = rest.partition("+")
    key = _decoded(encoded)
    if not name or len(key) != 1 + _KEY_BYTES or key[:1] != _ED25519:
        raise ValueError("no Ed25519 key of a signed note, such as bankctl/BANK+1a2b3c4d+AQ...")
    found = CheckpointKey(name, key[1:])
    if found.id != id_:
        raise ValueError("the key's id does not fit the key")
    return found


def signed(checkpoint: Checkpoint, key: CheckpointKey, sign: Callable[[bytes], bytes]) -> str:
    """Return the note of a checkpoint."""
    text = checkpoint.text()
    signature = bytes.fromhex(key.id) + sign(text.encode())
    return f"{text}\n{_SIGNED_BY}{key.name} {b64encode(signature).decode()}\n"


def read_checkpoint(note: str) -> Checkpoint:
    """Return what a note says, without a look at its signatures.

    Raises:
        ValueError: it is no checkpoint.
    """
    text, _ = _parted(note)
    origin, size, root, *more = text.split("\n")[:-1] if text.count("\n") >= _FIXED_LINES else ("", "", "")
    decoded = _decoded(root)
    if not origin or not size.isascii() or not size.isdigit() or str(int(size)) != size:
        raise ValueError("no checkpoint: it has no name or no size")
    if len(decoded) != HASH_BYTES:
        raise ValueError("no checkpoint: its root is no hash")
    named = dict(line.split(" ", 1) for line in more if " " in line)
    records = named.get("records", "")
    if not records.isascii() or not records.isdigit():
        raise ValueError("no checkpoint of a bank: it counts no records")
    states = _decoded(named["states"]) if "states" in named else None
    return Checkpoint(origin, int(size), decoded, int(records), named.get("time", ""), states)


def open_note(note: str, keys: Iterable[CheckpointKey]) -> SignedCheckpoint:
    """Return the checkpoint of a note that one of the keys has signed.

    Raises:
        ValueError: none has, or it is no checkpoint.
    """
    checkpoint = read_checkpoint(note)
    text, signatures = _parted(note)
    for key in keys:
        if key.name != checkpoint.origin:
            continue
        for name, signature in signatures:
            ours = name == key.name and signature[:_ID_BYTES].hex() == key.id
            if ours and _has_signed(key.public, signature[_ID_BYTES:], text.encode()):
                return SignedCheckpoint(checkpoint, note, key)
    raise ValueError("none of the known keys has signed it")


def _has_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether an Ed25519 key has made a signature."""
    # Imported here: most commands of the command line check none.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _parted(note: str) -> tuple[str, list[tuple[str, bytes]]]:
    text, blank, below = note.rpartition("\n\n")
    if not blank or not below.endswith("\n") or len(note) > LARGEST_NOTE:
        raise ValueError("no signed note")
    signatures = []
    for line in below[:-1].split("\n"):
        name, _, encoded = line.removeprefix(_SIGNED_BY).partition(" ")
        signature = _decoded(encoded)
        if not line.startswith(_SIGNED_BY) or not name or len(signature) <= _ID_BYTES:
            raise ValueError("no signed note: a signature is damaged")
        signatures.append((name, signature))
    return f"{text}\n", signatures


def _id_of(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:_ID_BYTES]


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
