"""Checkpoints as signed notes: written and read as others write and read them, and nothing else is taken."""

from base64 import b64decode, b64encode
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from daemons.contracts.checkpoint import (
    Checkpoint,
    CheckpointKey,
    open_note,
    read_checkpoint,
    read_key,
    signed,
)

ORIGIN = "bankctl/01890a5d-ac96-774b-bcce-b302099a8057"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = CheckpointKey(ORIGIN, PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
OTHER_KEY = CheckpointKey(ORIGIN, OTHER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
CHECKPOINT = Checkpoint(ORIGIN, 12, b"r" * 32, 345, "2026-11-30T09:15:02.125Z", b"s" * 32)
NOTE = signed(CHECKPOINT, KEY, PRIVATE.sign)


def test_a_note_is_text_a_blank_line_and_a_signature_over_the_text() -> None:
    text, _, signature = NOTE.partition("\n\n")
    assert text.split("\n") == [
        ORIGIN,
        "12",
        b64encode(b"r" * 32).decode(),
        "records 345",
        "time 2026-11-30T09:15:02.125Z",
        f"states {b64encode(b's' * 32).decode()}",
    ]
    assert signature.startswith(f"\u2014 {ORIGIN} ")
    assert signature.endswith("\n")
    raw = b64decode(signature.split(" ")[2])
    # The key's id as the format of signed notes defines it.
    assert raw[:4] == sha256(f"{ORIGIN}\n\x01".encode() + KEY.public).digest()[:4] == bytes.fromhex(KEY.id)
    PRIVATE.public_key().verify(raw[4:], f"{text}\n".encode())


def test_a_note_is_opened_with_the_key_that_has_signed_it() -> None:
    opened = open_note(NOTE, [OTHER_KEY, KEY])
    assert (opened.checkpoint, opened.note, opened.key) == (CHECKPOINT, NOTE, KEY)


def test_one_that_others_have_signed_as_well_is_opened() -> None:
    witness = "\u2014 witness.example/w1 " + b64encode(b"w" * 72).decode()
    assert open_note(f"{NOTE}{witness}\n", [KEY]).checkpoint == CHECKPOINT


@pytest.mark.parametrize("keys", [[], [OTHER_KEY], [CheckpointKey("bankctl/another", KEY.public)]])
def test_one_of_an_unknown_key_is_refused(keys: list[CheckpointKey]) -> None:
    with pytest.raises(ValueError, match="none of the known keys"):
        open_note(NOTE, keys)


@given(st.data())
def test_a_note_of_which_one_character_was_changed_is_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(NOTE) - 1))
    character = data.draw(st.sampled_from("aZ7 +\n").filter(lambda one: one != NOTE[place]))
    with pytest.raises(ValueError, match=r"."):
        open_note(NOTE[:place] + character + NOTE[place + 1 :], [KEY])


@pytest.mark.parametrize(
    "note",
    [
        "",
        "\n\n",
        NOTE.rstrip("\n"),
        NOTE.replace("\n\n", "\n"),
        NOTE.replace("\n12\n", "\n012\n"),
        NOTE.replace("\n12\n", "\n-1\n"),
        NOTE.replace("\n12\n", "\n\u0661\n"),
        NOTE.replace("records 345", "records many"),
        NOTE.replace("records 345\n", ""),
        NOTE.replace("\u2014 ", "- "),
        NOTE + "x" * 5000,
    ],
)
def test_what_is_no_checkpoint_is_refused(note: str) -> None:
    with pytest.raises(ValueError, match=r"no (signed note|checkpoint)"):
        read_checkpoint(note)


def test_a_key_is_read_as_it_is_shown() -> None:
    assert read_key(f" {KEY.text()}\n") == KEY
    assert KEY.text().split("+")[:2] == [ORIGIN, KEY.id]


@pytest.mark.parametrize(
    "text",
    ["", "name", KEY.text()[:-4], KEY.text().replace(KEY.id, "00000000"), KEY.text().replace("+AQ", "+Ag")],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="key"):
        read_key(text)
