"""Cursors: opaque, safe in a URL, and refused when no list gave them out."""

import re
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from daemons.contracts.errors import InvalidRequestError
from daemons.shared.http.pages import (
    LARGEST_NUMBER,
    PageQuery,
    decode_cursor,
    decode_id_cursor,
    decode_number_cursor,
    encode_cursor,
    encode_number_cursor,
    invalid_cursor,
)

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


@given(st.binary(max_size=40))
@example(bytes.fromhex("5d75d7"))
def test_a_cursor_leads_back_to_its_position(position: bytes) -> None:
    cursor = encode_cursor(position)
    assert re.fullmatch("[A-Za-z0-9_-]*", cursor)
    assert decode_cursor(cursor) == position


def test_a_list_begins_without_a_cursor() -> None:
    assert decode_cursor(None) is None
    assert decode_id_cursor(None) is None


def test_a_list_in_the_order_of_ids_goes_on_behind_one() -> None:
    assert decode_id_cursor(encode_cursor(ID.bytes)) == ID


@pytest.mark.parametrize("cursor", ["a", "abcde", "!!!!", "a b=", "aé==", "abc=d", "AAAA\n"])
def test_what_no_list_gave_out_is_refused(cursor: str) -> None:
    for decode in (decode_cursor, decode_id_cursor):
        with pytest.raises(InvalidRequestError) as refused:
            decode(cursor)
        assert (refused.value.code, refused.value.message) == (
            "invalid_cursor",
            "The cursor is not one that this list gave out; start again without it.",
        )
        assert refused.value.__cause__ is None


@pytest.mark.parametrize("position", [b"", b"x" * 15, b"x" * 17])
def test_what_is_no_id_is_refused(position: bytes) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        decode_id_cursor(encode_cursor(position))
    assert refused.value.code == invalid_cursor().code == "invalid_cursor"


@pytest.mark.parametrize("number", [0, 1, 256, LARGEST_NUMBER])
def test_a_list_in_the_order_of_numbers_goes_on_behind_one(number: int) -> None:
    assert decode_number_cursor(encode_number_cursor(number)) == number


@pytest.mark.parametrize("position", [b"", bytes(7), bytes(9), (LARGEST_NUMBER + 1).to_bytes(8, "big")])
def test_what_holds_no_number_of_ours_is_refused(position: bytes) -> None:
    assert decode_number_cursor(None) is None
    with pytest.raises(InvalidRequestError) as refused:
        decode_number_cursor(encode_cursor(position))
    assert refused.value.code == "invalid_cursor"


def test_a_page_has_a_size_within_bounds() -> None:
    assert PageQuery.model_validate({}) == PageQuery(limit=50, cursor=None)
    for limit in ("1", "200"):
        assert PageQuery.model_validate({"limit": limit, "cursor": "x" * 200}).limit == int(limit)
    for wrong in ("0", "201", "-1", "1.0", "", "٣", " 1", "1e2", None, True):
        with pytest.raises(ValidationError):
            PageQuery.model_validate({"limit": wrong})
    with pytest.raises(ValidationError):
        PageQuery.model_validate({"cursor": "x" * 201})
