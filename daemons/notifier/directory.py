"""Who users are: names and e-mail addresses, which user_api has."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol
from uuid import UUID

import httpx
from pydantic import ValidationError

from daemons.contracts.errors import TransientError
from daemons.contracts.events.user_changed import UserChanged
from daemons.contracts.internal import UserSummary
from daemons.contracts.names import ERASED_DOMAIN, EventType
from daemons.shared.auth.remote_sessions import USER_API
from daemons.shared.auth.service_tokens import ServiceTokenSigner
from daemons.shared.kafka.records import IncomingRecord
from daemons.shared.user_cache import UserCache


@dataclass(frozen=True, slots=True)
class Person:
    """What the notifier needs to know of a user to write to them."""

    user_id: UUID
    name: str
    email: str


class UserDirectory(Protocol):
    """Looks users up."""

    async def find(self, user_id: UUID) -> Person | None:
        """Return the user, None for an id that is nobody's.

        Raises:
            TransientError: it is unknown at the moment.
        """
        ...


class CachedDirectory:
    """Asks the cache first, and keeps there what user_api answers."""

    def __init__(self, users: "UserApiDirectory", cache: UserCache) -> None:
        self._users = users
        self._cache = cache

    async def find(self, user_id: UUID) -> Person | None:
        """Return the user, None for an id that is nobody's."""
        read_at = self._cache.now()
        known = (await self._cache.find([user_id])).get(user_id)
        if known is not None:
            return _person(known.user)
        found = await self._users.fetch(user_id)
        if found is None:
            return None
        await self._cache.keep([found], read_at=read_at)
        return _person(found)


async def forget_changed(cache: UserCache, records: Sequence[IncomingRecord]) -> None:
    """Make the cache forget the users that these records tell as changed."""
    versions: dict[str, int] = {}
    for record in records:
        if record.topic == EventType.USER_CHANGED:
            try:
                told = UserChanged.model_validate_json(record.value or b"")
            except ValidationError:
                continue
            versions[told.user_id] = max(told.version, versions.get(told.user_id, 0))
    await cache.forget(versions)


class UserApiDirectory:
    """Asks user_api each time."""

    def __init__(self, client: httpx.AsyncClient, service_tokens: ServiceTokenSigner) -> None:
        self._client = client
        self._service_tokens = service_tokens

    async def find(self, user_id: UUID) -> Person | None:
        """Return the user, None for an id that is nobody's."""
        found = await self.fetch(user_id)
        return None if found is None else _person(found)

    async def fetch(self, user_id: UUID) -> UserSummary | None:
        """Return what user_api answers.

        Raises:
            TransientError: it is unknown at the moment.
        """
        headers = self._service_tokens.header_for(USER_API)
        try:
            answer = await self._client.get(f"/internal/users/{user_id}", headers=headers)
            if answer.status_code == HTTPStatus.NOT_FOUND:
                return None
            answer.raise_for_status()
            return UserSummary.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError) as error:
            raise TransientError(
                "unavailable", f"user_api does not answer ({type(error).__name__}).", retry_after_seconds=1
            ) from error


def _person(user: UserSummary) -> Person | None:
    """Return whom to write to; of an erased user nothing is left to write to."""
    if user.email.endswith(f"@{ERASED_DOMAIN}"):
        return None
    return Person(UUID(user.id), user.display_name, user.email)
