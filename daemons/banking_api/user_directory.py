"""What user_api knows of users: names, in batches and remembered for a minute, and how they stand now.

Where there is a cache (`CACHE_URI`), it is asked for names first.
"""

import time
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar
from uuid import UUID

import httpx
from pydantic import BaseModel, ValidationError

from daemons.contracts.errors import TransientError
from daemons.contracts.internal import FetchedStandings, FetchedUsers, FetchUsers, UserSummary
from daemons.shared.approvals.approval import RoleGrant, Standing
from daemons.shared.auth.remote_sessions import USER_API
from daemons.shared.auth.service_tokens import ServiceTokenSigner
from daemons.shared.user_cache import UserCache

REMEMBER_SECONDS = 60.0
_BATCH = 500
_MEMORY_LIMIT = 50_000

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class UserDirectory:
    """Looks up display names, never one call per row."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        service_tokens: ServiceTokenSigner,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        cache: UserCache | None = None,
    ) -> None:
        self._client = client
        self._service_tokens = service_tokens
        self._monotonic = monotonic
        self._cache = cache
        self._names: dict[UUID, tuple[str | None, float]] = {}

    async def names(self, user_ids: Iterable[UUID]) -> dict[UUID, str | None]:
        """Return each user's display name, None for one that user_api does not know.

        Raises:
            TransientError: user_api does not answer and the name is not remembered.
        """
        now = self._monotonic()
        wanted = set(user_ids)
        missing = [user_id for user_id in wanted if self._names.get(user_id, (None, 0.0))[1] <= now]
        if len(self._names) + len(missing) > _MEMORY_LIMIT:
            self._names.clear()
            missing = list(wanted)
        for start in range(0, len(missing), _BATCH):
            await self._fetch(missing[start : start + _BATCH], now + REMEMBER_SECONDS)
        return {user_id: self._names[user_id][0] for user_id in wanted}

    async def standings(self, user_ids: Collection[UUID]) -> dict[UUID, Standing]:
        """Return how users stand at this moment; those who are no users any more are missing.

        Raises:
            TransientError: user_api does not answer.
        """
        found = await self._ask("/internal/users/standings", user_ids, FetchedStandings)
        return {
            UUID(user.id): Standing(
                role=user.role,
                locked=user.locked,
                rights_lost_at=user.rights_lost_at,
                grants=tuple(RoleGrant(UUID(grant.by), grant.at) for grant in user.grants),
            )
            for user in found.users
        }

    async def _fetch(self, user_ids: list[UUID], remember_until: float) -> None:
        if self._cache is None:
            await self._fetch_from_user_api(user_ids, remember_until)
            return
        read_at = self._cache.now()
        known = await self._cache.find(user_ids)
        for user_id, one in known.items():
            # What the cache has is of some age, and is not remembered for longer than if asked for then.
            self._names[user_id] = (one.user.display_name, remember_until - max(0.0, read_at - one.read_at))
        missing = [user_id for user_id in user_ids if user_id not in known]
        if missing:
            await self._cache.keep(await self._fetch_from_user_api(missing, remember_until), read_at=read_at)

    async def _fetch_from_user_api(self, user_ids: list[UUID], remember_until: float) -> list[UserSummary]:
        found = await self._ask("/internal/users/batch", user_ids, FetchedUsers)
        names = {UUID(user.id): user.display_name for user in found.users}
        for user_id in user_ids:
            self._names[user_id] = (names.get(user_id), remember_until)
        return found.users

    async def _ask(self, path: str, user_ids: Collection[UUID], answer: type[AnswerT]) -> AnswerT:
        body = FetchUsers(ids=[str(user_id) for user_id in user_ids]).model_dump_json()
        headers = {"Content-Type": "application/json", **self._service_tokens.header_for(USER_API)}
        try:
            response = await self._client.post(path, content=body, headers=headers)
            response.raise_for_status()
            return answer.model_validate_json(response.content)
        except (httpx.HTTPError, ValidationError) as error:
            raise TransientError(
                "unavailable", f"user_api does not answer ({type(error).__name__}).", retry_after_seconds=1
            ) from error
