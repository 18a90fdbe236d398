"""No route of any daemon can be called without end by one caller."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from daemons.contracts.permissions import Permission
from tests.support.callers import routes
from tests.support.whole_bank import WholeBank, running_whole_bank

BURST = 3
ONCE_IN_A_WHILE = {
    "caller_requests_per_second": 1e-6,
    "caller_requests_burst": BURST,
    "address_requests_per_second": 1e-6,
    "address_requests_burst": BURST,
}
ADDRESS = {"X-Forwarded-For": "192.0.2.1"}


@pytest.fixture(scope="module")
async def whole(mongo_uri: str) -> AsyncIterator[WholeBank]:
    async with running_whole_bank(mongo_uri, ONCE_IN_A_WHILE) as running:
        yield running


async def test_every_route_of_every_daemon_counts_its_callers(whole: WholeBank) -> None:
    alice = await whole.bank.person()
    counted = 0
    for daemon, route in routes():
        if route.permission is Permission.SERVICE:
            continue
        url = whole.origins[daemon] + route.path.replace("{id}", str(uuid4())).replace("{seq}", "1")
        headers = {"X-Requested-With": "tests", **ADDRESS}
        if route.permission is not Permission.PUBLIC:
            headers |= alice.headers
        for _ in range(BURST + 1):
            answer = await whole.bank.http.request(route.method, url, headers=headers)
        assert answer.status_code == 429, f"{route.method} {route.path} -> {answer.status_code}"
        assert int(answer.headers["Retry-After"]) > 0
        counted += 1
    assert counted > 50
