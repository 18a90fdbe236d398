"""Text from elsewhere, made safe for a terminal."""

import json
import re
from functools import lru_cache
from typing import Any

from bankctl.streams import holds_unicode

# C0 and C1 control characters, line separators, bidirectional overrides and isolates, lone surrogates:
# all of them can move the cursor, hide text or break the encoding.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
# An escape sequence goes as a whole, or its tail would stay behind as visible litter.
_SEQUENCE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)?"  # OSC, DCS: titles, links
    "|\x1b[ -/]*[0-~]"
)
_WHITE = re.compile("[\t\r\n\x0b\x0c\x85\u2028\u2029]+")


def clean(text: object) -> str:
    """`text` on one line, without anything that drives a terminal."""
    return _UNSAFE.sub("", _WHITE.sub(" ", _SEQUENCE.sub("", str(text))))


def clean_lines(text: object) -> str:
    """Like `clean`, line breaks stay."""
    return "\n".join(clean(line) for line in str(text).splitlines())


def dump_json(data: Any, *, indent: int | None = None) -> str:
    """`data` as JSON whose unsafe characters are escaped, so that printing it is safe and loses nothing."""
    text = json.dumps(data, ensure_ascii=False, indent=indent, default=str)
    return _UNSAFE.sub(lambda match: match[0] if match[0] == "\n" else f"\\u{ord(match[0]):04x}", text)


def displayable(text: str, stream: Any) -> str:
    """`text` with an escape, as Python has them, for each character that the stream's encoding has not."""
    if text.isascii() or holds_unicode(stream):
        return text
    return text.encode(stream.encoding, "backslashreplace").decode(stream.encoding)


def displayable_json(text: str, stream: Any) -> str:
    """JSON that means the same with only the characters that the stream's encoding has."""
    if text.isascii() or holds_unicode(stream):
        return text
    return "".join(
        character if _fits(character, stream.encoding) else json.dumps(character)[1:-1] for character in text
    )


@lru_cache(maxsize=1024)
def _fits(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
