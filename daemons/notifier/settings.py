"""What the notifier reads from its environment."""

from typing import Annotated

from pydantic import Field

from daemons.shared.settings import PeerSettings


class NotifierSettings(PeerSettings):
    """Its database, and how many streams one process serves before it answers `overloaded`."""

    mongo_database: Annotated[str, Field(min_length=1, max_length=63)] = "notifier"
    maximum_streams: Annotated[int, Field(ge=1, le=10_000)] = 200
