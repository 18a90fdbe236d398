"""Whether API keys are good: asked on every request here, and by the other daemons for many at a time."""

from collections.abc import Mapping

from daemons.contracts.permissions import Permission
from daemons.shared.auth.callers import Caller
from daemons.user_api.api_keys.api_key import ApiKey
from daemons.user_api.parts import Parts
from daemons.user_api.sessions.verify import scopes_of
from daemons.user_api.users.user import User


async def verify_api_key(parts: Parts, digest: str) -> Caller | None:
    """Return the caller whom the key stands for, and keep that it was used; None if it is not good.

    Raises:
        TransientError: `unavailable`; unknown at the moment.
    """
    found = await parts.api_keys.find_with_user(digest)
    good = await keep_good_keys(parts, {digest: found} if found else {})
    return key_caller(parts, digest, *good[digest]) if good else None


async def keep_good_keys(
    parts: Parts, found: Mapping[str, tuple[ApiKey, User]]
) -> dict[str, tuple[ApiKey, User]]:
    """Return those keys that are good, by their digests, and keep that they were used.

    Raises:
        TransientError: `unavailable`.
    """
    now = parts.clock()
    good = {
        digest: (key, user) for digest, (key, user) in found.items() if not user.locked and key.lives(now)
    }
    await parts.api_keys.renew_last_use((key for key, _ in good.values()), now)
    return good


def key_caller(parts: Parts, digest: str, key: ApiKey, user: User) -> Caller:
    """Return the caller whom a good key stands for."""
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
