"""What the notifier reads from its environment."""

from datetime import timedelta
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field, field_validator

from daemons.notifier.dead_letters.dead_letter import DeadLetterLimit
from daemons.notifier.streams.streams import StreamLimits
from daemons.shared.auth.keys import read_public_keys
from daemons.shared.settings import PeerSettings


class NotifierSettings(PeerSettings):
    """Its database, and how many streams one process serves before it answers `overloaded`."""

    mongo_database: Annotated[str, Field(min_length=1, max_length=63)] = "notifier"
    maximum_streams: Annotated[int, Field(ge=1, le=10_000)] = 200
    maximum_streams_per_caller: Annotated[int, Field(ge=1, le=10_000)] = 10
    """How many of them one user or API key may hold open."""
    dead_letter_limit: Annotated[int, Field(ge=0, le=1_000_000)] = 100
    dead_letter_window_minutes: Annotated[int, Field(ge=1, le=7 * 24 * 60)] = 60

    user_api_public_keys: str = ""
    """The public keys of user_api, which orders messages, separated by commas: two while its `SERVICE_KEY` is
    being replaced."""

    @field_validator("user_api_public_keys")
    @classmethod
    def _public_keys(cls, text: str) -> str:
        read_public_keys(text)
        return text

    @property
    def calling_daemons(self) -> dict[str, list[Ed25519PublicKey]]:
        """The public keys of each daemon that may call this one."""
        return {"user_api": read_public_keys(self.user_api_public_keys)}

    @property
    def stream_limits(self) -> StreamLimits:
        """How many streams may be open."""
        return StreamLimits(self.maximum_streams, self.maximum_streams_per_caller)

    @property
    def limit_of_dead_letters(self) -> DeadLetterLimit:
        """How many undecodable records may be set aside before the consumer stands still."""
        return DeadLetterLimit(self.dead_letter_limit, timedelta(minutes=self.dead_letter_window_minutes))
