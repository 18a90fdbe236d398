"""Two thousand requests of every class of bad input, and what Schemathesis makes of each OpenAPI document.

More of both is evidence: `python -m tests.evidence.fuzz`, `python -m tests.evidence.schemas`.
"""

from collections.abc import AsyncIterator

import pytest

from tests.evidence.bad_input import CLASSES
from tests.evidence.exercised import LEFT_OUT, exercised
from tests.evidence.fuzz import Fuzzer
from tests.evidence.schemas import exercise
from tests.support.callers import Callers, routes
from tests.support.whole_bank import UNLIMITED, WholeBank, running_whole_bank


@pytest.fixture(scope="module")
async def whole(mongo_uri: str) -> AsyncIterator[WholeBank]:
    async with running_whole_bank(mongo_uri, UNLIMITED) as running:
        yield running


async def test_no_bad_input_is_a_fault_of_ours_or_changes_anything(whole: WholeBank) -> None:
    callers = Callers(whole)
    await callers.prepare()
    report = await Fuzzer(whole, callers).run(2000, seed=20261123)
    assert report.requests == 2000
    assert len(CLASSES) >= 40
    assert set(report.answered) == {bad.name for bad in CLASSES}
    assert set(report.routes) == {(route.method, route.path) for _, route in routes()} - set(LEFT_OUT)
    assert not report.server_errors, "\n".join(report.server_errors)
    assert not report.leaks, "\n".join(report.leaks)
    assert not report.carried_out, "\n".join(report.carried_out)
    assert not report.changes


def test_a_route_is_left_out_for_a_reason_only() -> None:
    declared = {(route.method, route.path) for _, route in routes()}
    assert {(route.method, route.path) for _, route in exercised()} == declared - set(LEFT_OUT)
    assert set(LEFT_OUT) <= declared
    assert [left for left, reason in LEFT_OUT.items() if len(reason.split()) < 4] == []


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Content-Encoding": "gzip"}, 415, "unsupported_media_type"),
        ({"Cookie": b"__Host-bankctl=\xff"}, 401, "not_signed_in"),
    ],
)
async def test_what_the_fuzzer_has_found_before(
    whole: WholeBank, headers: dict[str, str | bytes], status: int, code: str
) -> None:
    sent = {"X-Requested-With": "tests", "Content-Type": "application/json", **headers}
    if "Cookie" not in sent:
        sent["Cookie"] = (await whole.bank.person()).headers["Cookie"]
    for daemon, path in (("banking_api", "/accounts"), ("user_api", "/auth/tokens")):
        answer = await whole.bank.http.post(whole.origins[daemon] + path, content=b"\x1f\x8b{}", headers=sent)
        assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_the_faults_of_a_body_are_named_up_to_a_limit(whole: WholeBank) -> None:
    alice = await whole.bank.person()
    answer = await alice.post("/accounts", {f"field{number}": 1 for number in range(5000)})
    assert (answer.status_code, len(answer.json()["errors"])) == (422, 50)


@pytest.mark.parametrize("daemon", ["user_api", "banking_api", "notifier"])
async def test_nothing_that_a_document_suggests_is_a_fault_of_ours(whole: WholeBank, daemon: str) -> None:
    callers = Callers(whole)
    await callers.prepare()
    answered = await exercise(whole, callers, daemon, cases=300)
    assert answered.cases >= 250
    declared = {(route.method, route.path) for name, route in routes() if name == daemon}
    assert set(answered.operations) == declared - set(LEFT_OUT)
    assert not answered.server_errors, "\n".join(answered.server_errors)
