"""Finding users: one, several, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from daemons.shared.http.pages import decode_id_cursor, encode_cursor
from daemons.user_api.parts import Parts
from daemons.user_api.users.email import normalise_email
from daemons.user_api.users.user import User, user_not_found


@dataclass(frozen=True, slots=True)
class UserPage:
    """A part of a list and the cursor of the next one, None at the end."""

    users: list[User]
    next_cursor: str | None


async def find_user(parts: Parts, user_id: UUID) -> User:
    """Return the user.

    Raises:
        NotFoundError: `user_not_found`.
        TransientError: `unavailable`.
    """
    user = await parts.users.find(user_id)
    if user is None:
        raise user_not_found()
    return user


async def find_users(parts: Parts, user_ids: Sequence[UUID]) -> list[User]:
    """Return those of the users who exist, in no order."""
    return await parts.users.find_many(user_ids)


async def list_users(parts: Parts, *, limit: int, cursor: str | None, email: str | None) -> UserPage:
    """Return users, newest first; with an address, only the one who signs in with it.

    Raises:
        InvalidRequestError: `invalid_cursor`, or `invalid_request` for a malformed address.
        TransientError: `unavailable`.
    """
    # One more than asked tells whether another page follows.
    found = await parts.users.page(
        email=None if email is None else normalise_email(email),
        before=decode_id_cursor(cursor),
        limit=limit + 1,
    )
    page = found[:limit]
    return UserPage(page, encode_cursor(page[-1].id.bytes) if len(found) > limit else None)
