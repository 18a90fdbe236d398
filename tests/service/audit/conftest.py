from collections.abc import AsyncIterator

import pytest

from tests.support.user_api import UserApi, running_user_api


@pytest.fixture
async def user_api(mongo_uri: str, database_name: str) -> AsyncIterator[UserApi]:
    """A daemon whose trail no other test writes to."""
    async with running_user_api(mongo_uri, database_name) as api:
        yield api
