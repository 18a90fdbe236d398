"""What the routes of registration take and answer."""

from daemons.contracts.wire import Name, WireModel
from daemons.user_api.mail.models import MailedCode
from daemons.user_api.users.models import Email, Password, UserView
from daemons.user_api.users.user import User


class Registration(WireModel):
    """A new user. It has no role: everybody registers as a plain user."""

    email: Email
    display_name: Name
    password: Password


class Registered(UserView):
    """The user as registered; `confirmation_required` says whether the address must be confirmed first."""

    confirmation_required: bool

    @classmethod
    def by(cls, user: User, *, confirmation_required: bool) -> "Registered":
        """Show the user."""
        return cls(**dict(UserView.of(user)), confirmation_required=confirmation_required)


class AddressConfirmation(WireModel):
    """The code that was mailed, with what the user registered with."""

    email: Email
    code: MailedCode
    password: Password
