"""Second factors in MongoDB: their secrets sealed, their recovery codes as digests."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog
from pymongo.errors import DuplicateKeyError

from daemons.shared.mongo import Alongside, Client, Database, Document, Session, run_transaction
from daemons.user_api.faults import unavailable_on_fault
from daemons.user_api.schema import SECOND_FACTORS, USERS
from daemons.user_api.second_factor.factor import SecondFactor
from daemons.user_api.second_factor.sealing import Sealer
from daemons.user_api.sessions.access import MongoAccess

_log = structlog.get_logger()


class MongoSecondFactors:
    """The second factor of each user who has one, or has begun to enrol."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._factors = database[SECOND_FACTORS]
        self._users = database[USERS]
        self._access = MongoAccess(client, database)

    async def begin(self, factor: SecondFactor, *, alongside: Alongside) -> bool:
        """Keep an unconfirmed factor in place of an earlier one; False if one is confirmed already."""
        document = {
            "sealed_secret": factor.sealed_secret,
            "confirmed": False,
            "last_step": 0,
            "recovery_digests": [],
        }

        async def body(session: Session) -> None:
            await self._factors.replace_one(
                {"_id": factor.user_id, "confirmed": False}, document, upsert=True, session=session
            )
            await alongside(session)

        try:
            await run_transaction(self._client, body)
        except DuplicateKeyError:
            return False
        return True

    async def find(self, user_id: UUID) -> SecondFactor | None:
        """Return the user's factor, confirmed or not."""
        with unavailable_on_fault():
            document = await self._factors.find_one({"_id": user_id})
        if document is None:
            return None
        return SecondFactor(
            user_id=document["_id"],
            sealed_secret=document["sealed_secret"],
            confirmed=document["confirmed"],
            last_step=document["last_step"],
            recovery_digests=tuple(document["recovery_digests"]),
        )

    async def confirm(
        self,
        factor: SecondFactor,
        *,
        step: int,
        recovery_digests: list[bytes],
        kept_session: UUID,
        alongside: Alongside,
    ) -> bool:
        """Make the factor count from now on, and end the access that was begun without it."""

        async def body(session: Session) -> bool:
            confirmed = await self._factors.update_one(
                {"_id": factor.user_id, "confirmed": False, "sealed_secret": factor.sealed_secret},
                {"$set": {"confirmed": True, "last_step": step, "recovery_digests": recovery_digests}},
                session=session,
            )
            if not confirmed.matched_count:
                return False
            await self._mark_user(factor.user_id, session, has_factor=True, kept_session=kept_session)
            await alongside(session)
            return True

        return await run_transaction(self._client, body)

    async def remove(self, user_id: UUID, *, kept_session: UUID | None, alongside: Alongside) -> bool:
        """Remove the factor and end the user's other access; False if there was none."""

        async def body(session: Session) -> bool:
            removed = await self._factors.delete_one({"_id": user_id}, session=session)
            if not removed.deleted_count:
                return False
            await self._mark_user(user_id, session, has_factor=False, kept_session=kept_session)
            await alongside(session)
            return True

        return await run_transaction(self._client, body)

    async def discard(self, user_id: UUID, session: Session) -> None:
        """Remove the factor, confirmed or not, as part of a transaction."""
        await self._factors.delete_one({"_id": user_id}, session=session)

    async def use_step(self, user_id: UUID, step: int) -> bool:
        """Use a time step up, with all before it; False if that has been done."""
        with unavailable_on_fault():
            used = await self._factors.update_one(
                {"_id": user_id, "confirmed": True, "last_step": {"$lt": step}}, {"$set": {"last_step": step}}
            )
        return used.matched_count == 1

    async def use_recovery_code(
        self, user_id: UUID, digest: bytes, *, alongside: Callable[[int, Session], Awaitable[None]]
    ) -> bool:
        """Use up a recovery code; False if it is unknown or was used.

        `alongside` gets how many are left, and writes what must be written with that.
        """

        async def body(session: Session) -> bool:
            before = await self._factors.find_one_and_update(
                {"_id": user_id, "confirmed": True, "recovery_digests": digest},
                {"$pull": {"recovery_digests": digest}},
                session=session,
            )
            if before is None:
                return False
            await alongside(len(before["recovery_digests"]) - 1, session)
            return True

        return await run_transaction(self._client, body)

    async def reseal(self, sealer: Sealer) -> None:
        """Reseal secrets that were sealed under the previous secret."""
        with unavailable_on_fault():
            async for document in self._factors.find({}):
                await self._reseal_one(document, sealer)

    async def _reseal_one(self, document: Document, sealer: Sealer) -> None:
        owner, sealed = document["_id"], document["sealed_secret"]
        if sealer.is_current(sealed, owner):
            return
        secret = sealer.open(sealed, owner)
        if secret is None:
            _log.error("second factor cannot be opened: a recovery code or a reset helps", user_id=str(owner))
            return
        await self._factors.update_one(
            {"_id": owner, "sealed_secret": sealed}, {"$set": {"sealed_secret": sealer.seal(secret, owner)}}
        )

    async def _mark_user(
        self, user_id: UUID, session: Session, *, has_factor: bool, kept_session: UUID | None
    ) -> None:
        # The version makes a sign-in that was judged by the old rule fail, as after a new password.
        await self._users.update_one(
            {"_id": user_id}, {"$set": {"second_factor": has_factor}, "$inc": {"version": 1}}, session=session
        )
        await self._access.end(user_id, kept_session=kept_session, session=session)
