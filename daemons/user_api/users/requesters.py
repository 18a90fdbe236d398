"""Those who ask for what another person approves: how they stand now, and when it is carried out."""

from collections.abc import Collection, Mapping
from uuid import UUID

from daemons.contracts.permissions import GRANTS
from daemons.shared.approvals.approval import Approval, Standing, approval_withdrawn
from daemons.shared.mongo import Database, Session
from daemons.user_api.users.storage import MongoUsers


class Requesters:
    """Reads users as approvals need them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._users = MongoUsers(database)

    async def standings(self, user_ids: Collection[UUID]) -> Mapping[UUID, Standing]:
        """Return these users' standing; former users are missing."""
        return {
            user.id: Standing(role=user.role, locked=user.locked, rights_lost_at=user.rights_lost_at)
            for user in await self._users.find_many(list(user_ids))
        }

    async def hold(self, approval: Approval, session: Session) -> None:
        """Go on only if who asked still may, in the transaction in which it is carried out.

        Raises:
            ConflictError: `approval_withdrawn`.
        """
        roles = [role for role, granted in GRANTS.items() if approval.act.permission in granted]
        users = MongoUsers(self._database, session)
        if not await users.hold_standing(approval.requester_id, roles, since=approval.requested_at):
            raise approval_withdrawn("who asked was locked or given another role just now")
