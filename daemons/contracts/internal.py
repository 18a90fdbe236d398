"""Messages between daemons: session verification and user look-ups. Never routed by the gateway."""

from typing import Annotated

from pydantic import Field, StringConstraints

from daemons.contracts.permissions import Permission, Role
from daemons.contracts.wire import Instant, UuidText, WireModel


class VerifySession(WireModel):
    """Asks user_api whether a session still lives."""

    session_id: UuidText


class VerifiedSession(WireModel):
    """The answer: `active` false says no more than that; otherwise who the caller is now."""

    active: bool
    user_id: UuidText | None = None
    display_name: str | None = None
    role: Annotated[Role | None, Field(strict=False)] = None
    scopes: list[Annotated[Permission, Field(strict=False)]] | None = None
    """What bounds the role's permissions; None leaves them as they are."""


class VerifyApiKey(WireModel):
    """Asks user_api whether an API key is good; the key itself stays where it was presented."""

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class VerifiedApiKey(VerifiedSession):
    """The answer, with the key's own id."""

    key_id: UuidText | None = None


class FetchUsers(WireModel):
    """Asks user_api for up to 500 users at once."""

    ids: Annotated[list[UuidText], Field(max_length=500)]


class UserSummary(WireModel):
    """What other daemons may know of a user."""

    id: UuidText
    email: str
    display_name: str


class FetchedUsers(WireModel):
    """The users found; ids that are unknown are simply missing."""

    users: list[UserSummary]


class UserStanding(WireModel):
    """What a request for approval needs to know of who made it."""

    id: UuidText
    role: Annotated[Role, Field(strict=False)]
    locked: bool
    rights_lost_at: Instant | None


class FetchedStandings(WireModel):
    """How the users stand now; ids that are unknown are simply missing."""

    users: list[UserStanding]
