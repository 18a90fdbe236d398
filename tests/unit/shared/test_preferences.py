"""What a caller prefers (RFC 7240), and what is no preference that we know."""

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from daemons.shared.http.requests import prefers_minimal


@pytest.mark.parametrize(
    ("preferences", "minimal"),
    [
        ([], False),
        (["return=minimal"], True),
        (['Return = "minimal"'], True),
        (["respond-async, return=minimal; foo=bar"], True),
        (["respond-async", "return=minimal"], True),
        (["return=representation"], False),
        (["return"], False),
        (["x-return=minimal"], False),
        ([""], False),
    ],
)
def test_less_is_answered_to_whoever_prefers_it(preferences: list[str], minimal: bool) -> None:
    headers = CIMultiDict([("Prefer", preference) for preference in preferences])
    assert prefers_minimal(make_mocked_request("POST", "/", headers=headers)) is minimal
