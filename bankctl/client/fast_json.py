"""JSON for requests, answers and files of thousands of rows, where Python's own takes its time."""

import json
from collections.abc import Iterable
from typing import Any


def encode(value: Any) -> bytes:
    """The JSON of a value, compact, in UTF-8."""
    # Slow to load, and only many rows need it.
    from pydantic_core import to_json  # noqa: PLC0415

    return to_json(value)


def encode_lines(values: Iterable[Any]) -> bytes:
    """The JSON of each value on a line of its own; texts may have lone surrogates, as UTF-8 cannot."""
    from pydantic_core import PydanticSerializationError, to_json  # noqa: PLC0415

    kept = list(values)
    try:
        lines = [to_json(value) for value in kept]
    except PydanticSerializationError:
        lines = [json.dumps(value, ensure_ascii=True).encode() for value in kept]
    return b"".join(line + b"\n" for line in lines)


def decode(text: bytes) -> Any:
    """The value that a JSON text holds.

    Raises:
        ValueError: it is no JSON.
    """
    from pydantic_core import from_json  # noqa: PLC0415

    return from_json(text)
