import pytest

from daemons.contracts.errors import InvalidRequestError
from daemons.shared.http.strict_json import parse_object


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"\xff\xfe", "not UTF-8"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'{"a":1,"a":2}', "stands twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b'{"a":9223372036854775808}', "64 bits"),
        (b'{"a":' + b"9" * 5000 + b"}", "64 bits"),
        (b'{"a":"\\ud800"}', "surrogate"),
        (b'{"a":"\\u0000"}', "NUL"),
        (b'{"\\u0000":1}', "NUL"),
        (b'{"a":' * 17 + b"1" + b"}" * 17, "deeper"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deeper"),
        (b'{"a":"\x01"}', "not JSON"),
    ],
)
def test_what_parsers_could_read_differently_is_refused(raw: bytes, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says) as refused:
        parse_object(raw)
    assert refused.value.code == "invalid_json"


def test_sixteen_levels_are_read() -> None:
    assert parse_object(b'{"a":' * 16 + b"1" + b"}" * 16) is not None


def test_plain_json_is_read() -> None:
    raw = '{"a": [1, -9223372036854775808, {"b": null}], "ü": "€ 😀", "c": true, "d": 1.5}'.encode()
    assert parse_object(raw) == {
        "a": [1, -(1 << 63), {"b": None}],
        "ü": "€ 😀",
        "c": True,
        "d": 1.5,
    }
