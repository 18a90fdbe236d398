"""How the other daemons see sessions: their authenticator against the real user_api."""

import pytest

from daemons.contracts.errors import UnauthenticatedError
from daemons.contracts.permissions import Role
from daemons.shared.auth.remote_sessions import FRESH_SECONDS, RemoteSessions
from daemons.shared.auth.service_tokens import ServiceTokens
from tests.support.user_api import SECRET, running_user_api


async def test_an_ended_session_is_refused_by_other_daemons_within_seconds(
    mongo_uri: str, database_name: str
) -> None:
    now = 0.0
    async with running_user_api(mongo_uri, database_name) as api:
        sessions = RemoteSessions(
            api.http,
            audience="banking_api",
            service_tokens=ServiceTokens(SECRET, name="banking_api"),
            monotonic=lambda: now,
        )
        person = await api.person(Role.SUPPORT)
        caller = await sessions.authenticate(person.token)
        assert (str(caller.user_id), caller.role, caller.display_name) == (
            person.id,
            Role.SUPPORT,
            "Ann Other",
        )
        await person.call("POST", "/auth/logout")
        now += FRESH_SECONDS
        assert FRESH_SECONDS <= 5
        with pytest.raises(UnauthenticatedError) as refused:
            await sessions.authenticate(person.token)
        assert refused.value.code == "session_ended"
