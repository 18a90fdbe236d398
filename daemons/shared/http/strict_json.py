"""JSON as a bank reads it: what two parsers could understand differently is refused (RFC 8259 §4, §6, §8).

Refused with code `invalid_json`: bad UTF-8, a byte order mark, duplicate keys, NaN and Infinity, integers
beyond 64 bits, nesting deeper than 16, lone surrogates, NUL, anything that is not an object.
"""

import json
import re
from typing import Any, Never

from daemons.contracts.errors import InvalidRequestError

MAXIMUM_DEPTH = 16
MAXIMUM_DIGITS = 19
_INT64 = 1 << 63
_NESTING = (dict, list)
_UNSAFE_TEXT = re.compile("[\x00\ud800-\udfff]")


def parse_object(raw: bytes) -> dict[str, Any]:
    """Parse one JSON object.

    Raises:
        InvalidRequestError: with code `invalid_json` and the fault.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _invalid(f"the body is not UTF-8 (byte {error.start})") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _invalid(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise _too_deep() from None
    if not isinstance(value, dict):
        raise _invalid("the body must be a JSON object")
    if "\\u" in text:
        _check_texts(value)
    _check_depth(value, depth=1)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _invalid(f"the key {json.dumps(key[:64])} stands twice in one object")
            seen.add(key)
    return result


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAXIMUM_DIGITS or not -_INT64 <= int(digits) < _INT64:
        raise _invalid("an integer goes beyond 64 bits")
    return int(digits)


def _constant(name: str) -> Never:
    raise _invalid(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_constant=_constant, strict=True
)


def _check_texts(value: object) -> None:
    """Refuse what only an escape can bring in: UTF-8 has no surrogates, JSON no bare control characters."""
    if isinstance(value, str):
        if _UNSAFE_TEXT.search(value):
            raise _invalid("a text holds NUL or a lone surrogate")
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_texts(key)
            _check_texts(item)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item)


def _check_depth(value: dict[str, Any] | list[Any], *, depth: int) -> None:
    if depth > MAXIMUM_DEPTH:
        raise _too_deep()
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, _NESTING):
            _check_depth(item, depth=depth + 1)


def _too_deep() -> InvalidRequestError:
    return _invalid(f"the body is nested deeper than {MAXIMUM_DEPTH} levels")


def _invalid(fault: str) -> InvalidRequestError:
    return InvalidRequestError("invalid_json", f"{fault[0].upper()}{fault[1:]}.")
