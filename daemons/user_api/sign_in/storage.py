"""Devices that have signed in before, as digests of the token that each was given."""

from datetime import datetime
from uuid import UUID

from daemons.shared.mongo import Database, Session, unavailable_on_fault
from daemons.user_api.schema import DEVICES
from daemons.user_api.sessions.session import DEVICE_KNOWN_FOR


class MongoDevices:
    """Whose device a token stands for. It lets nobody in: it keeps strangers' guesses from its user's way."""

    def __init__(self, database: Database, session: Session | None = None) -> None:
        self._devices = database[DEVICES]
        self._session = session

    async def is_of(self, digest: bytes, user_id: UUID, now: datetime) -> bool:
        """Tell whether the user has signed in from this device and not changed the password since."""
        with unavailable_on_fault():
            found = await self._devices.find_one(
                {"_id": digest, "user_id": user_id, "expires_at": {"$gt": now}}, {"_id": 1}
            )
        return found is not None

    async def remember(self, digest: bytes, user_id: UUID, now: datetime) -> None:
        """Know the device, or go on knowing it."""
        await self._devices.update_one(
            {"_id": digest, "user_id": user_id},
            {"$set": {"expires_at": now + DEVICE_KNOWN_FOR}},
            upsert=True,
            session=self._session,
        )

    async def forget_all(self, user_id: UUID) -> None:
        """Know none of the user's devices any longer."""
        await self._devices.delete_many({"user_id": user_id}, session=self._session)
