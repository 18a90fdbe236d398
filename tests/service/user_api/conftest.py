from collections.abc import AsyncIterator

import pytest

from tests.support.user_api import UserApi, running_user_api


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
