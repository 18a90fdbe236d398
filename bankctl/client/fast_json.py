"""JSON for requests, answers and files of thousands of rows, where Python's own takes its time."""

import json
from collections.abc import Iterable
from typing import Any


def encode(value: Any) -> bytes:
    """The JSON of a value, compact, in UTF-8."""
    # Only many rows need it.
    import orjson  # noqa: PLC0415

    return orjson.dumps(value)


def encode_lines(values: Iterable[Any]) -> bytes:
    """The JSON of each value on a line of its own; texts may have lone surrogates, as UTF-8 cannot."""
    import orjson  # noqa: PLC0415

    kept = list(values)
    try:
        return b"".join([orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE) for value in kept])
    except orjson.JSONEncodeError:
        compact = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"))
        return "".join(f"{compact.encode(value)}\n" for value in kept).encode()


def decode(text: bytes) -> Any:
    """The value that a JSON text holds.

    Raises:
        ValueError: it is no JSON.
    """
    import orjson  # noqa: PLC0415

    return orjson.loads(text)


def decode_any(text: bytes) -> Any:
    """The value of a JSON text that `encode_lines` wrote, lone surrogates and all.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        return decode(text)
    except ValueError:
        return json.loads(text)
