"""Adding a user."""

import structlog

from daemons.contracts.permissions import Role
from daemons.shared.ids import new_id
from daemons.user_api.domain.email import normalise_email
from daemons.user_api.domain.password import check_new_password, normalise_password
from daemons.user_api.domain.user import User
from daemons.user_api.services.parts import Registry

_log = structlog.get_logger()


async def register_user(
    registry: Registry, *, email: str, display_name: str, password: str, role: Role = Role.USER
) -> User:
    """Add a user who signs in with this address and password.

    Only the server's own shell gives a role; the HTTP routes have no way to pass one.

    Raises:
        InvalidRequestError: `invalid_request` for what is no address, `weak_password`.
        ConflictError: `email_taken`.
        TransientError: `overloaded` or `unavailable`.
    """
    address = normalise_email(email)
    secret = normalise_password(password)
    check_new_password(
        secret, field="password", email=address, display_name=display_name, common=registry.common_passwords
    )
    user = User(
        id=new_id(),
        email=address,
        display_name=display_name,
        role=role,
        locked=False,
        created_at=registry.clock(),
        password_hash=await registry.hasher.hash(secret),
    )
    await registry.users.insert(user)
    _log.info("user registered", user_id=str(user.id), role=role.value)
    return user
