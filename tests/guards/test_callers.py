"""Every route answers every kind of caller as the written list says (docs/caller-matrix.md)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.evidence.caller_matrix import as_markdown
from tests.support.callers import KINDS, Callers, routes, verdict_of
from tests.support.may_call import MAY_CALL
from tests.support.whole_bank import running_whole_bank

# Routes on something of the owner's: to another user they answer as if it did not exist.
_OWNED = ("/accounts/{id}", "/transactions/{id}")
_OWN_TO_USE = "use_own_accounts"


@pytest.fixture(scope="module")
async def answers(mongo_uri: str) -> AsyncIterator[dict[tuple[str, str, str], tuple[int, str]]]:
    """Each route's answer to each kind of caller."""
    async with running_whole_bank(mongo_uri) as whole:
        callers = Callers(whole)
        await callers.prepare()
        yield {
            (route.method, route.path, kind.name): await callers.call(daemon, route, kind)
            for daemon, route in routes()
            for kind in KINDS
        }


Answers = dict[tuple[str, str, str], tuple[int, str]]


def test_the_list_has_every_route_and_no_other() -> None:
    assert set(MAY_CALL) == {f"{route.method} {route.path}" for _, route in routes()}


async def test_every_route_lets_in_whom_the_list_says_and_nobody_else(answers: Answers) -> None:
    wrong = []
    for _, route in routes():
        for kind in KINDS:
            status, code = answers[route.method, route.path, kind.name]
            found, expected = verdict_of(status, code), kind.expected(route)
            # Without a refresh token there is nobody to go on, whoever else the caller is.
            refused = (route.path, code) == ("/auth/refresh", "not_signed_in")
            if status >= 500 or (found != expected and not refused):
                wrong.append(f"{route.method} {route.path} as {kind.name}: {status} {code}, not {expected}")
    assert not wrong, "\n".join(wrong)


async def test_what_is_anothers_looks_like_nothing(answers: Answers) -> None:
    owned = [
        route
        for _, route in routes()
        if route.path.startswith(_OWNED) and route.permission.value == _OWN_TO_USE
    ]
    assert len(owned) >= 6
    for route in owned:
        assert answers[route.method, route.path, "owner"][0] != 404, route.path
        assert answers[route.method, route.path, "other user"][0] == 404, route.path


async def test_the_printed_matrix_is_that_of_the_routes(answers: Answers) -> None:
    written = (Path(__file__).parents[2] / "docs" / "caller-matrix.md").read_text(encoding="utf-8")
    assert written == as_markdown(answers), "make docs writes it anew"
