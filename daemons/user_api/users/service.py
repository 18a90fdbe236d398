"""Adding users and finding them: one, several, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from daemons.contracts.permissions import Role
from daemons.shared.audit.record import SHELL, AuditEntry
from daemons.shared.clock import Clock
from daemons.shared.http.pages import decode_id_cursor, encode_cursor
from daemons.shared.ids import new_id
from daemons.user_api.security_events import USER
from daemons.user_api.unit_of_work import UserWork
from daemons.user_api.users.argon2_hasher import Argon2Hasher
from daemons.user_api.users.email import normalise_email
from daemons.user_api.users.passwords import hash_new_password
from daemons.user_api.users.storage import MongoUsers
from daemons.user_api.users.user import User, user_not_found

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UserPage:
    """A part of a list and the cursor of the next one, None at the end."""

    users: list[User]
    next_cursor: str | None


class Users:
    """Finds users, and registers whom the server's own shell adds."""

    def __init__(self, work: UserWork, store: MongoUsers, hasher: Argon2Hasher, *, clock: Clock) -> None:
        self._work = work
        self._store = store
        self._hasher = hasher
        self._clock = clock

    async def register(
        self,
        *,
        email: str,
        display_name: str,
        password: str,
        role: Role = Role.USER,
        temporary: bool = False,
    ) -> User:
        """Add a user who signs in with this address and password.

        For the server's own shell: it alone gives a role, names staff as it likes, and learns that an
        address is taken. Strangers may call `SignUp.sign_up`.

        Raises:
            InvalidRequestError: `invalid_request` for a malformed address, `weak_password`.
            ConflictError: `email_taken`.
            TransientError: `overloaded` or `unavailable`.
        """
        prepared = await self.prepare(email=email, display_name=display_name, password=password, role=role)
        user = replace(prepared, email_confirmed=True, password_is_temporary=temporary)
        async for attempt in self._work.attempts():
            async with attempt as tx:
                await tx.users.insert(user)
                tx.audit(creation_of(user))
        _log.info("user registered", user_id=str(user.id), role=role.value)
        return user

    async def prepare(self, *, email: str, display_name: str, password: str, role: Role) -> User:
        """Return a user who is not stored yet.

        Raises:
            InvalidRequestError: `invalid_request` for a malformed address, `weak_password`.
            TransientError: `overloaded`.
        """
        address = normalise_email(email)
        password_hash = await hash_new_password(
            self._hasher, password, field="password", email=address, display_name=display_name
        )
        return User(
            id=new_id(),
            email=address,
            display_name=display_name,
            role=role,
            locked=False,
            created_at=self._clock(),
            password_hash=password_hash,
        )

    async def find(self, user_id: UUID) -> User:
        """Return the user.

        Raises:
            NotFoundError: `user_not_found`.
            TransientError: `unavailable`.
        """
        user = await self._store.find(user_id)
        if user is None:
            raise user_not_found()
        return user

    async def find_by_email(self, email: str) -> User:
        """Return the user who signs in with this address.

        Raises:
            InvalidRequestError: `invalid_request` for a malformed address.
            NotFoundError: `user_not_found`.
        """
        user = await self._store.find_by_email(normalise_email(email))
        if user is None:
            raise user_not_found()
        return user

    async def find_many(self, user_ids: Sequence[UUID]) -> list[User]:
        """Return those of the users who exist, in no order."""
        return await self._store.find_many(user_ids)

    async def page(self, *, limit: int, cursor: str | None, email: str | None) -> UserPage:
        """Return users, newest first; with an address, only the one who signs in with it.

        Raises:
            InvalidRequestError: `invalid_cursor`, or `invalid_request` for a malformed address.
            TransientError: `unavailable`.
        """
        # One more than asked tells whether another page follows.
        found = await self._store.page(
            email=None if email is None else normalise_email(email),
            before=decode_id_cursor(cursor),
            limit=limit + 1,
        )
        page = found[:limit]
        return UserPage(page, encode_cursor(page[-1].id.bytes) if len(found) > limit else None)


def creation_of(user: User) -> AuditEntry:
    """Return the audit entry of a user whom the server's shell creates, with any role."""
    return AuditEntry(
        at=user.created_at,
        actor=SHELL,
        action="create_user",
        target_kind=USER,
        target_id=str(user.id),
        reason=None,
        before=None,
        after=user.audit_fields(),
    )
