"""JSON for requests, answers and files of thousands of rows, where Python's own takes its time."""

import json
from typing import Any


def encode(value: Any) -> bytes:
    """The JSON of a value, compact, in UTF-8."""
    # Slow to load, and only many rows need it.
    from pydantic_core import PydanticSerializationError, to_json  # noqa: PLC0415

    try:
        return to_json(value)
    except (PydanticSerializationError, UnicodeEncodeError):
        # Bytes that were no UTF-8 have become lone surrogates, which only an escape can write.
        return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()


def decode(text: bytes) -> Any:
    """The value that a JSON text holds.

    Raises:
        ValueError: it is no JSON.
    """
    from pydantic_core import from_json  # noqa: PLC0415

    return from_json(text)
