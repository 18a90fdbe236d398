from collections.abc import AsyncIterator

import pytest

from tests.support.mail import PlayedNotifier, played_notifier
from tests.support.user_api import StillClock, UserApi, running_user_api


@pytest.fixture(scope="session")
async def user_api(mongo_uri: str) -> AsyncIterator[UserApi]:
    """One daemon for all tests of this folder; each test registers its own people."""
    async with running_user_api(mongo_uri, "user_api_of_service_tests", address_free_failures=10_000) as api:
        yield api


@pytest.fixture
async def lone_user_api(mongo_uri: str, database_name: str) -> AsyncIterator[UserApi]:
    """A daemon with a database that no other test writes to."""
    async with running_user_api(mongo_uri, database_name) as api:
        yield api


@pytest.fixture
async def notifier() -> AsyncIterator[PlayedNotifier]:
    """What user_api hands its messages to."""
    async with played_notifier() as running:
        yield running


@pytest.fixture
async def api(mongo_uri: str, database_name: str, notifier: PlayedNotifier) -> AsyncIterator[UserApi]:
    """A daemon with a database of its own that sends mail, and whose time stands still."""
    async with running_user_api(
        mongo_uri, database_name, clock=StillClock(), notifier_url=notifier.url
    ) as running:
        yield running
