"""Those who ask for approval and those who approve: how both stand, now and in the act itself."""

from collections.abc import Collection, Mapping
from uuid import UUID

from daemons.contracts.errors import ForbiddenError
from daemons.contracts.permissions import GRANTS, Permission, Role
from daemons.shared.approvals.approval import Approval, Standing, approval_withdrawn
from daemons.shared.approvals.policy import StaffPolicy
from daemons.shared.audit.record import Actor
from daemons.shared.clock import Clock
from daemons.shared.mongo import Database, Session
from daemons.user_api.users.storage import MongoUsers
from daemons.user_api.users.user import User

DECIDES = Permission.MANAGE_USERS
"""What deciding a request of this daemon needs."""


class Requesters:
    """Reads users as approvals need them."""

    def __init__(self, database: Database, policy: StaffPolicy, *, clock: Clock) -> None:
        self._database = database
        self._users = MongoUsers(database)
        self._policy = policy
        self._clock = clock

    async def standings(self, user_ids: Collection[UUID]) -> Mapping[UUID, Standing]:
        """Return these users' standing; former users are missing."""
        return {user.id: standing_of(user) for user in await self._users.find_many(list(user_ids))}

    async def hold(self, approval: Approval, by: Actor, session: Session) -> None:
        """Go on only if both still may, in the transaction in which the request is carried out.

        Raises:
            ConflictError: `approval_withdrawn`.
            ForbiddenError: `forbidden`, `granted_role`.
        """
        users = MongoUsers(self._database, session)
        asks = _roles_with(approval.act.permission)
        if await users.hold_standing(approval.requester_id, asks, since=approval.requested_at) is None:
            raise approval_withdrawn("who asked was locked or given another role just now")
        approver = await users.hold_standing(approval.check_other_person(by.user_id), _roles_with(DECIDES))
        if approver is None:
            raise ForbiddenError("forbidden", "You were locked or given another role just now.")
        since = self._policy.granted_since(self._clock())
        standing_of(approver).check_independent(approval.requester_id, since=since)


def standing_of(user: User) -> Standing:
    """Return how a user stands."""
    return Standing(
        role=user.role, locked=user.locked, rights_lost_at=user.rights_lost_at, grants=user.grants
    )


def _roles_with(permission: Permission) -> list[Role]:
    return [role for role, granted in GRANTS.items() if permission in granted]
