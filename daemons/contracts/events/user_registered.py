"""UserRegistered: somebody can sign in from now on."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from daemons.contracts.events.contract import ANN, EventContract, EventModel, Version
from daemons.contracts.names import EventType, UserStatus
from daemons.contracts.permissions import Role
from daemons.contracts.wire import UuidText


class ToldUser(EventModel):
    """A user as they are after what the event tells; it holds nothing that signs anybody in.

    `version` grows with every change of the user, with gaps: of two events the higher one is the newer.
    `initiated_by` is null if nobody was signed in: a stranger registered, the server's shell did it, or the
    user by other proof.
    """

    user_id: UuidText
    display_name: str
    email: str
    role: Annotated[Role, Field(strict=False)]
    status: Annotated[UserStatus, Field(strict=False)]
    second_factor: bool
    version: Version

    def customers(self) -> Iterable[str]:
        """Return the user."""
        return (self.user_id,)


class UserRegistered(ToldUser):
    """Somebody can sign in from now on: they have registered, or the server's shell has added them."""


CONTRACT = EventContract(
    event_type=EventType.USER_REGISTERED,
    version=2,
    model=UserRegistered,
    summary="somebody registered, or the server's shell added them",
    key="user",
    example=UserRegistered(
        user_id=ANN.user_id,
        display_name="Ann Berg",
        email="ann@example.com",
        role=Role.USER,
        status=UserStatus.ACTIVE,
        second_factor=False,
        version=1,
        initiated_by=None,
        occurred_at=datetime(2026, 11, 30, 9, 1, 44, 318000, tzinfo=UTC),
    ),
)
