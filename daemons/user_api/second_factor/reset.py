"""Taking a second factor off a user who has lost it, recovery codes and all."""

from dataclasses import replace
from uuid import UUID

from daemons.shared.audit.record import Actor
from daemons.shared.mongo import Session
from daemons.user_api.audit_entries import witnessed
from daemons.user_api.parts import Registry
from daemons.user_api.second_factor.storage import MongoSecondFactors
from daemons.user_api.users.user import User


async def reset_second_factor(
    registry: Registry, factors: MongoSecondFactors, user_id: UUID, *, actor: Actor, reason: str
) -> User:
    """Remove the user's second factor and end all their sessions; the server's own shell alone can.

    Raises:
        NotFoundError: `user_not_found`.
        TransientError: `unavailable`.
    """
    testimony = witnessed(registry, actor, "reset_second_factor", user_id, reason=reason)

    async def alongside(before: User, after: User, session: Session) -> None:
        await factors.discard(user_id, session)
        await testimony.write(before, after, session)

    async with registry.audit.turn():
        change = await registry.users.change(
            user_id, lambda user: replace(user, second_factor=False), alongside=alongside
        )
    testimony.log()
    return change.after
