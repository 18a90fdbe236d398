"""What user_api reads from its environment."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from daemons.shared.settings import DaemonSettings, StoreSettings
from daemons.user_api.domain.session import SessionLimits


class UserStoreSettings(StoreSettings):
    """What the shell's verbs need: the database and how to hash."""

    mongo_database: str = "user_api"
    hashing_workers: Annotated[int, Field(ge=1, le=64)] = 2
    hashing_queue: Annotated[int, Field(ge=1)] = 64


class UserApiSettings(UserStoreSettings, DaemonSettings):
    """What the serving daemon needs besides; the limits of a session are argued in docs/adr/0005."""

    session_hours: Annotated[float, Field(gt=0, le=24 * 30)] = 12
    session_idle_minutes: Annotated[float, Field(ge=2)] = 60

    @property
    def session_limits(self) -> SessionLimits:
        """Both limits of a session."""
        return SessionLimits(
            lifetime=timedelta(hours=self.session_hours), idle=timedelta(minutes=self.session_idle_minutes)
        )
