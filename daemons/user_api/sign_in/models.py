"""What the routes of signing in take."""

from daemons.contracts.wire import WireModel
from daemons.user_api.second_factor.models import Code
from daemons.user_api.users.models import Email, Password


class Credentials(WireModel):
    """What a person signs in with; `totp` is the code of the second factor, or a recovery code."""

    email: Email
    password: Password
    totp: Code | None = None


class PasswordChange(WireModel):
    """A new password in place of the current one."""

    current_password: Password
    new_password: Password
    end_other_sessions: bool = True
