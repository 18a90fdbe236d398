"""Adding a user."""

import structlog

from daemons.contracts.permissions import Role
from daemons.shared.audit.record import Origin, stranger
from daemons.shared.ids import new_id
from daemons.shared.mongo import Session
from daemons.user_api.attempts.service import counted_sign_up
from daemons.user_api.audit_entries import SecurityEvent, creation_of, event_of, state_of
from daemons.user_api.parts import Parts, Registry
from daemons.user_api.users.email import normalise_email
from daemons.user_api.users.password import check_new_password, normalise_password
from daemons.user_api.users.user import User, check_strangers_name

_log = structlog.get_logger()


async def register_user(
    registry: Registry, *, email: str, display_name: str, password: str, role: Role = Role.USER
) -> User:
    """Add a user who signs in with this address and password.

    For the server's own shell: it alone gives a role, names staff as it likes, and is told that an address
    is taken. Strangers may call `sign_up`.

    Raises:
        InvalidRequestError: `invalid_request` for a malformed address, `weak_password`.
        ConflictError: `email_taken`.
        TransientError: `overloaded` or `unavailable`.
    """
    user = await _prepare(registry, email, display_name, password, role)
    async with registry.audit.turn():
        await registry.users.insert(user, alongside=registry.audit.recording(creation_of(user)))
    _log.info("user registered", user_id=str(user.id), role=role.value)
    return user


async def sign_up(registry: Parts, *, email: str, display_name: str, password: str, origin: Origin) -> User:
    """Add a user if the address is free; the answer is the same, and costs the same, if it is not.

    For a taken address the returned user exists nowhere: the one who has the address keeps their password.

    Raises:
        InvalidRequestError: `invalid_request` for what is no address and for a name in which a user would
            pose as the bank, `weak_password`.
        TransientError: `rate_limited`, `overloaded` or `unavailable`.
    """
    async with counted_sign_up(registry, origin):
        return await _sign_up(
            registry, email=email, display_name=display_name, password=password, origin=origin
        )


async def _sign_up(
    registry: Registry, *, email: str, display_name: str, password: str, origin: Origin
) -> User:
    name = check_strangers_name(display_name)
    user = await _prepare(registry, email, name, password, Role.USER)

    async def record(present: User | None, session: Session) -> None:
        # One record either way: neither the answer nor its time tells which.
        if present is None:
            event, target, after = SecurityEvent.REGISTER, user.id, state_of(user)
        else:
            event, target, after = SecurityEvent.REGISTER_REFUSED, present.id, state_of(present)
        reason = None if present is None else "email_taken"
        entry = event_of(registry, stranger(origin), event, target, reason=reason, after=after)
        await registry.audit.append([entry], session=session)

    async with registry.audit.turn():
        registered = await registry.users.sign_up(user, alongside=record)
    if registered:
        _log.info("user registered", user_id=str(user.id), role=user.role.value)
    else:
        _log.warning("registration of a taken address")
    return user


async def _prepare(registry: Registry, email: str, display_name: str, password: str, role: Role) -> User:
    address = normalise_email(email)
    secret = normalise_password(password)
    check_new_password(
        secret, field="password", email=address, display_name=display_name, common=registry.common_passwords
    )
    return User(
        id=new_id(),
        email=address,
        display_name=display_name,
        role=role,
        locked=False,
        created_at=registry.clock(),
        password_hash=await registry.hasher.hash(secret),
    )
