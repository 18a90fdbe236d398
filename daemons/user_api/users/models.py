"""What the routes of users take and answer; what is not named here is neither taken nor given."""

from typing import Annotated

from pydantic import Field

from daemons.contracts.permissions import Role
from daemons.contracts.wire import Instant, Reason, UuidText, WireModel
from daemons.shared.audit.masks import initials_of, masked_email
from daemons.shared.http.pages import PageQuery
from daemons.user_api.users.email import MAXIMUM_EMAIL_LENGTH
from daemons.user_api.users.user import User

Email = Annotated[str, Field(min_length=1, max_length=MAXIMUM_EMAIL_LENGTH, examples=["ann@example.com"])]
# Far beyond what the rules for passwords accept: this only bounds the work of reading one.
Password = Annotated[str, Field(min_length=1, max_length=1024, repr=False)]
RoleName = Annotated[Role, Field(strict=False)]


class RoleChange(WireModel):
    """Another role, and why."""

    role: RoleName
    reason: Reason


class UserQuery(PageQuery):
    """The list of users, or the one with this address."""

    email: Email | None = None


class UserView(WireModel):
    """A user as they and the staff see them."""

    id: UuidText
    email: str
    email_confirmed: bool
    display_name: str
    role: RoleName
    locked: bool
    created_at: Instant

    @classmethod
    def of(cls, user: User) -> "UserView":
        """Show a user."""
        return cls(
            id=str(user.id),
            email=user.email,
            email_confirmed=user.email_confirmed,
            display_name=user.display_name,
            role=user.role,
            locked=user.locked,
            created_at=user.created_at,
        )


class EnrolmentCodeView(WireModel):
    """A code with which one of the staff enrols their first second factor; shown this once."""

    code: str
    expires_at: Instant


class MaskedUserView(WireModel):
    """A customer without what nobody needs to help them: initials, and the ends of the address."""

    id: UuidText
    email: str
    initials: str
    locked: bool
    second_factor: bool
    created_at: Instant

    @classmethod
    def of(cls, user: User) -> "MaskedUserView":
        """Mask a user."""
        return cls(
            id=str(user.id),
            email=masked_email(user.email),
            initials=initials_of(user.display_name),
            locked=user.locked,
            second_factor=user.second_factor,
            created_at=user.created_at,
        )


class UserList(WireModel):
    """A page of users, newest first."""

    items: list[UserView]
    next_cursor: str | None


class PasswordAgain(WireModel):
    """The password once more, before what a stolen session must not do."""

    password: Password
