"""A new password in place of the current one."""

from dataclasses import replace

import structlog

from daemons.shared.audit.record import Origin
from daemons.shared.auth.callers import Caller
from daemons.shared.mongo import Session
from daemons.user_api.audit_entries import SecurityEvent, acting, event_of
from daemons.user_api.parts import Parts
from daemons.user_api.users.confirm_password import confirm_password, invalid_credentials
from daemons.user_api.users.password import check_new_password, normalise_password
from daemons.user_api.users.user import User, user_not_found

_log = structlog.get_logger()


async def change_password(
    parts: Parts, caller: Caller, *, current: str, new: str, end_other_sessions: bool, origin: Origin
) -> None:
    """Change the caller's password; API keys end, the session that asks goes on, others end if so wished.

    Raises:
        UnauthenticatedError: `invalid_credentials`, the current password is wrong.
        InvalidRequestError: `weak_password`.
        TransientError: `rate_limited`, `overloaded` or `unavailable`.
    """
    user = await parts.users.find(caller.user_id)
    if user is None:
        raise user_not_found()
    await confirm_password(parts, user, current, origin=origin)
    secret = normalise_password(new)
    check_new_password(
        secret,
        field="new_password",
        email=user.email,
        display_name=user.display_name,
        common=parts.common_passwords,
    )
    new_hash = await parts.hasher.hash(secret)

    def decide(present: User) -> User:
        # The verified password is no longer the current one: somebody else changed it meanwhile.
        if present.password_hash != user.password_hash:
            raise invalid_credentials()
        return replace(present, password_hash=new_hash)

    entry = event_of(
        parts,
        acting(caller, origin),
        SecurityEvent.CHANGE_PASSWORD,
        user.id,
        after={"ends_other_sessions": end_other_sessions},
    )

    async def alongside(_before: User, _after: User, session: Session) -> None:
        # Whoever knew the old password may have signed in with it.
        await parts.devices.forget_all(user.id, session=session)
        await parts.audit.append([entry], session=session)

    async with parts.audit.turn():
        change = await parts.users.change(
            user.id,
            decide,
            end_sessions=end_other_sessions,
            kept_session=caller.session_id,
            alongside=alongside,
        )
    _log.info("password changed", user_id=str(user.id), ended_sessions=change.ended.sessions)
