"""Lists page by page: opaque cursors that survive inserts, in one form for all daemons."""

import base64
import binascii
from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator, Field

from daemons.contracts.errors import InvalidRequestError
from daemons.contracts.wire import WireModel

DEFAULT_PAGE_SIZE = 50
MAXIMUM_PAGE_SIZE = 200
LARGEST_NUMBER = 2**63 - 1
_NUMBER_BYTES = 8


def _digits(value: object) -> object:
    """Query strings are text; a strict integer field needs the number."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value


FROM_DIGITS = BeforeValidator(_digits)
"""Stands last in an integer's annotation: limits before it are limits in the schema, too."""


class PageQuery(WireModel):
    """`?limit=&cursor=` of every list; routes with filters extend it."""

    limit: Annotated[int, Field(ge=1, le=MAXIMUM_PAGE_SIZE), FROM_DIGITS] = DEFAULT_PAGE_SIZE
    cursor: Annotated[str, Field(max_length=200)] | None = None


def encode_cursor(position: bytes) -> str:
    """Make a cursor of the last row's position."""
    return base64.urlsafe_b64encode(position).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> bytes | None:
    """Return the position a cursor stands for.

    Raises:
        InvalidRequestError: with code `invalid_cursor`.
    """
    if cursor is None:
        return None
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise invalid_cursor() from None


def decode_id_cursor(cursor: str | None) -> UUID | None:
    """Return the id a cursor stands for, where a list is in the order of its ids.

    Raises:
        InvalidRequestError: with code `invalid_cursor`.
    """
    position = decode_cursor(cursor)
    if position is None:
        return None
    try:
        return UUID(bytes=position)
    except ValueError:
        raise invalid_cursor() from None


def encode_number_cursor(number: int) -> str:
    """Make a cursor of the last row's number, where a list is in the order of its numbers."""
    return encode_cursor(number.to_bytes(_NUMBER_BYTES, "big"))


def decode_number_cursor(cursor: str | None) -> int | None:
    """Return the number a cursor stands for, at most the largest that the database holds.

    Raises:
        InvalidRequestError: with code `invalid_cursor`.
    """
    position = decode_cursor(cursor)
    if position is None:
        return None
    number = int.from_bytes(position, "big")
    if len(position) != _NUMBER_BYTES or number > LARGEST_NUMBER:
        raise invalid_cursor()
    return number


def invalid_cursor() -> InvalidRequestError:
    """The error for a cursor that no list of ours has given out."""
    return InvalidRequestError(
        "invalid_cursor", "The cursor is not one that this list gave out; start again without it."
    )
