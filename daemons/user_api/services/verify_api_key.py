"""Whether an API key is good, asked on every request that carries one."""

from daemons.contracts.permissions import Permission
from daemons.shared.auth.callers import Caller
from daemons.user_api.services.parts import Parts
from daemons.user_api.services.verify_session import scopes_of


async def verify_api_key(parts: Parts, digest: str) -> Caller | None:
    """Return the caller whom the key stands for, and keep that it was used; None if it is not good.

    Raises:
        TransientError: `unavailable`; it cannot be told right now.
    """
    found = await parts.api_keys.find_with_user(digest)
    now = parts.clock()
    if found is None:
        return None
    key, user = found
    if user.locked or not key.lives(now):
        return None
    if key.last_use_is_stale(now):
        await parts.api_keys.renew_last_use(key, now)
    bounds = scopes_of(parts, user)
    scopes = key.scopes | {Permission.SIGNED_IN}
    return Caller(
        user_id=user.id,
        session_id=key.id,
        role=user.role,
        display_name=user.display_name,
        scopes=scopes if bounds is None else scopes & bounds,
        key_digest=digest,
    )
