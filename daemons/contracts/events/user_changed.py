"""UserChanged: a user's name, address, role, status, second factor or password changed."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from daemons.contracts.events.contract import ANN, OLGA, EventContract
from daemons.contracts.events.user_registered import ToldUser
from daemons.contracts.names import EventType, UserStatus
from daemons.contracts.permissions import Role

UserChange = Literal["display_name", "email", "role", "status", "second_factor", "password"]


class UserChanged(ToldUser):
    """What `changes` names is not as it was; of the password this is all that is told."""

    changes: Annotated[list[UserChange], Field(min_length=1)]


CONTRACT = EventContract(
    event_type=EventType.USER_CHANGED,
    version=2,
    model=UserChanged,
    summary="a user's name, address, role, status, second factor or password changed (`changes`)",
    key="user",
    example=UserChanged(
        user_id=ANN.user_id,
        display_name="Ann Berg",
        email="ann@example.com",
        role=Role.USER,
        status=UserStatus.LOCKED,
        second_factor=False,
        version=2,
        changes=["status"],
        initiated_by=OLGA,
        occurred_at=datetime(2026, 11, 30, 9, 20, 11, 704000, tzinfo=UTC),
    ),
)
