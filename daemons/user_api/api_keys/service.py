"""Making, listing and revoking API keys."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from daemons.contracts.permissions import Permission
from daemons.contracts.wire import format_instant
from daemons.shared.audit.record import Origin
from daemons.shared.auth.api_keys import API_KEY_PREFIX, api_key_digest
from daemons.shared.auth.callers import Caller
from daemons.shared.ids import new_id
from daemons.shared.mongo import Session
from daemons.user_api.api_keys.api_key import ApiKey, api_key_not_found, check_scopes, too_many_api_keys
from daemons.user_api.audit_entries import SecurityEvent, acting, event_of
from daemons.user_api.parts import Parts
from daemons.user_api.users.confirm_password import confirm_password, confirm_second_factor
from daemons.user_api.users.look_up import find_user

_log = structlog.get_logger()
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key with its text, which leaves the daemon this once."""

    key: ApiKey
    text: str = field(repr=False)


async def create_api_key(
    parts: Parts,
    caller: Caller,
    *,
    password: str,
    code: str | None,
    name: str,
    scopes: Collection[Permission],
    lifetime: timedelta,
    origin: Origin,
) -> NewKey:
    """Make a key for some of what the caller may do; password and second factor are asked again.

    Raises:
        InvalidRequestError: `invalid_request`, the caller's role does not hold a scope.
        UnauthenticatedError: `invalid_credentials`; `totp_required`, `invalid_totp`.
        ConflictError: `too_many_api_keys`.
        TransientError: `rate_limited`, `overloaded` or `unavailable`.
    """
    user = await find_user(parts, caller.user_id)
    bounds = check_scopes(scopes, user.role)
    await confirm_password(parts, user, password, origin=origin)
    if user.second_factor:
        await confirm_second_factor(parts, user, code, origin=origin)
    now = parts.clock()
    key = ApiKey(
        id=new_id(), user_id=user.id, name=name, scopes=bounds, created_at=now, expires_at=now + lifetime
    )
    text = API_KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    entry = event_of(parts, acting(caller, origin), SecurityEvent.CREATE_API_KEY, user.id, after=_state(key))
    async with parts.audit.turn():
        made = await parts.api_keys.insert(
            key, api_key_digest(text), user=user, alongside=parts.audit.recording(entry)
        )
    if not made:
        raise too_many_api_keys()
    _log.info("API key made", user_id=str(user.id), key_id=str(key.id), scopes=sorted(bounds))
    return NewKey(key, text)


async def list_api_keys(parts: Parts, *, user_id: UUID) -> list[ApiKey]:
    """Return the user's keys that have not expired, newest first."""
    now = parts.clock()
    return [key for key in await parts.api_keys.list_of(user_id) if key.lives(now)]


async def revoke_api_key(parts: Parts, caller: Caller, key_id: UUID, *, origin: Origin) -> None:
    """Revoke one of the caller's keys, at once for user_api and within seconds elsewhere.

    Raises:
        NotFoundError: `api_key_not_found`, also for a key of somebody else.
        TransientError: `unavailable`.
    """

    async def alongside(key: ApiKey, session: Session) -> None:
        entry = event_of(
            parts, acting(caller, origin), SecurityEvent.REVOKE_API_KEY, caller.user_id, before=_state(key)
        )
        await parts.audit.append([entry], session=session)

    async with parts.audit.turn():
        revoked = await parts.api_keys.revoke(key_id, user_id=caller.user_id, alongside=alongside)
    if not revoked:
        raise api_key_not_found()
    _log.info("API key revoked", user_id=str(caller.user_id), key_id=str(key_id))


def _state(key: ApiKey) -> dict[str, Any]:
    return {
        "key_id": str(key.id),
        "name": key.name,
        "scopes": sorted(scope.value for scope in key.scopes),
        "expires_at": format_instant(key.expires_at),
    }
