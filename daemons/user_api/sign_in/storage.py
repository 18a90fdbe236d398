"""Devices that have signed in before, as digests of the token that each was given."""

from datetime import datetime, timedelta
from uuid import UUID

from daemons.shared.mongo import Database, Session
from daemons.user_api.faults import unavailable_on_fault
from daemons.user_api.schema import DEVICES

KNOWN_FOR = timedelta(days=180)
"""How long a device is known after its last sign-in."""


class MongoDevices:
    """Whose device a token stands for. It lets nobody in: it keeps strangers' guesses from its user's way."""

    def __init__(self, database: Database) -> None:
        self._devices = database[DEVICES]

    async def is_of(self, digest: bytes, user_id: UUID, now: datetime) -> bool:
        """Tell whether the user has signed in from this device and not changed the password since."""
        with unavailable_on_fault():
            found = await self._devices.find_one(
                {"_id": digest, "user_id": user_id, "expires_at": {"$gt": now}}, {"_id": 1}
            )
        return found is not None

    async def remember(self, digest: bytes, user_id: UUID, now: datetime, *, session: Session) -> None:
        """Know the device, or go on knowing it."""
        await self._devices.update_one(
            {"_id": digest, "user_id": user_id},
            {"$set": {"expires_at": now + KNOWN_FOR}},
            upsert=True,
            session=session,
        )

    async def forget_all(self, user_id: UUID, *, session: Session) -> None:
        """Know none of the user's devices any longer."""
        await self._devices.delete_many({"user_id": user_id}, session=session)
