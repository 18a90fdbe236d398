"""Who users are: names and e-mail addresses, which user_api has."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol
from uuid import UUID

import httpx
from pydantic import ValidationError

from daemons.contracts.errors import TransientError
from daemons.contracts.internal import UserSummary
from daemons.shared.auth.remote_sessions import USER_API
from daemons.shared.auth.service_tokens import ServiceTokenSigner


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


class UserApiDirectory:
    """Asks user_api each time."""

    def __init__(self, client: httpx.AsyncClient, service_tokens: ServiceTokenSigner) -> None:
        self._client = client
        self._service_tokens = service_tokens

    async def find(self, user_id: UUID) -> Person | None:
        """Return the user, None for an id that is nobody's."""
        headers = self._service_tokens.header_for(USER_API)
        try:
            answer = await self._client.get(f"/internal/users/{user_id}", headers=headers)
            if answer.status_code == HTTPStatus.NOT_FOUND:
                return None
            answer.raise_for_status()
            found = UserSummary.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError) as error:
            raise TransientError(
                "unavailable", f"user_api does not answer ({type(error).__name__}).", retry_after_seconds=1
            ) from error
        return Person(UUID(found.id), found.display_name, found.email)
