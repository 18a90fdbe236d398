"""Codes that people copy from a message or a drawer: how they are written, and how they are read."""

import base64

CODE_BYTES = 10
"""80 random bits: nobody guesses one, so its digest needs no slow hash."""
_GROUP = 4


def write_code(raw: bytes) -> str:
    """Return the bytes as groups of four letters and digits."""
    text = base64.b32encode(raw).decode()
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))


def normalise_code(text: str) -> str:
    """Return a code as it is compared: people type blanks, hyphens and lower case."""
    return "".join(character for character in text if character.isalnum()).upper()
