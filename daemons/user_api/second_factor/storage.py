"""Second factors in MongoDB: their secrets sealed, their recovery codes as digests."""

from contextlib import AbstractAsyncContextManager
from uuid import UUID

import structlog
from pymongo.errors import DuplicateKeyError

from daemons.shared.mongo import Database, Session, unavailable_on_fault
from daemons.user_api.guarded import SECOND_FACTOR
from daemons.user_api.schema import SECOND_FACTORS
from daemons.user_api.second_factor.factor import SecondFactor, totp_already_active
from daemons.user_api.second_factor.sealing import Sealer

_log = structlog.get_logger()


class MongoSecondFactors:
    """The second factor of each user who has one, or has begun to enrol."""

    def __init__(self, database: Database, session: Session | None = None) -> None:
        self._database = database
        self._factors = database[SECOND_FACTORS]
        self._session = session

    async def begin(self, factor: SecondFactor) -> None:
        """Keep an unconfirmed factor in place of an earlier one.

        Raises:
            ConflictError: `totp_already_active`, one is confirmed already.
        """
        document = {
            "sealed_secret": factor.sealed_secret,
            "confirmed": False,
            "last_step": 0,
            "recovery_digests": [],
        }
        try:
            await self._factors.replace_one(
                {"_id": factor.user_id, "confirmed": False}, document, upsert=True, session=self._session
            )
        except DuplicateKeyError:
            raise totp_already_active() from None

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

    async def confirm(self, factor: SecondFactor, *, step: int, recovery_digests: list[bytes]) -> bool:
        """Make the factor count from now on; False if another one was begun, or this one confirmed."""
        async with self._changing(factor.user_id):
            confirmed = await self._factors.update_one(
                {"_id": factor.user_id, "confirmed": False, "sealed_secret": factor.sealed_secret},
                {"$set": {"confirmed": True, "last_step": step, "recovery_digests": recovery_digests}},
                session=self._session,
            )
        return confirmed.matched_count == 1

    async def remove(self, user_id: UUID) -> bool:
        """Remove the factor, confirmed or not; False if there was none."""
        async with self._changing(user_id):
            removed = await self._factors.delete_one({"_id": user_id}, session=self._session)
        return removed.deleted_count == 1

    async def use_step(self, user_id: UUID, step: int) -> bool:
        """Use a time step up, with all before it; False if that has been done."""
        with unavailable_on_fault():
            used = await self._factors.update_one(
                {"_id": user_id, "confirmed": True, "last_step": {"$lt": step}}, {"$set": {"last_step": step}}
            )
        return used.matched_count == 1

    async def use_recovery_code(self, user_id: UUID, digest: bytes) -> int | None:
        """Use up a recovery code and return how many are left; None if it is unknown or was used."""
        async with self._changing(user_id):
            before = await self._factors.find_one_and_update(
                {"_id": user_id, "confirmed": True, "recovery_digests": digest},
                {"$pull": {"recovery_digests": digest}},
                session=self._session,
            )
        return None if before is None else len(before["recovery_digests"]) - 1

    async def sealed_otherwise(self, sealer: Sealer) -> list[UUID]:
        """Return whose secrets were sealed under the previous secret."""
        with unavailable_on_fault():
            found = self._factors.find({}, {"sealed_secret": 1})
            return [
                document["_id"]
                async for document in found
                if not sealer.is_current(document["sealed_secret"], document["_id"])
            ]

    async def reseal(self, user_id: UUID, sealer: Sealer) -> bool:
        """Seal the user's secret under the present secret; False if it is, or cannot be opened."""
        document = await self._factors.find_one({"_id": user_id}, session=self._session)
        if document is None or sealer.is_current(sealed := document["sealed_secret"], user_id):
            return False
        secret = sealer.open(sealed, user_id)
        if secret is None:
            _log.error(
                "second factor cannot be opened: a recovery code or a reset helps", user_id=str(user_id)
            )
            return False
        async with self._changing(user_id):
            await self._factors.update_one(
                {"_id": user_id, "sealed_secret": sealed},
                {"$set": {"sealed_secret": sealer.seal(secret, user_id)}},
                session=self._session,
            )
        return True

    def _changing(self, user_id: UUID) -> AbstractAsyncContextManager[None]:
        assert self._session is not None  # noqa: S101 - factors that count are never written alone
        return SECOND_FACTOR.changing(self._database, self._session, {"_id": user_id})
