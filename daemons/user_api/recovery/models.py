"""What the routes of recovery take."""

from daemons.contracts.wire import Instant, WireModel
from daemons.user_api.mail.models import MailedCode
from daemons.user_api.second_factor.models import Code
from daemons.user_api.users.models import Email, Password


class ResetRequest(WireModel):
    """Whose password is forgotten."""

    email: Email


class PasswordReset(WireModel):
    """The mailed code and a new password; `totp` is a code of the second factor, or a recovery code."""

    email: Email
    code: MailedCode
    new_password: Password
    totp: Code | None = None


class LostFactorReport(WireModel):
    """Who has lost their second factor."""

    email: Email
    password: Password


class RemovalView(WireModel):
    """When the second factor can be removed, and whether it has been."""

    removable_at: Instant
    removed: bool


class FactorKept(WireModel):
    """The code that was mailed to the owner of a second factor."""

    email: Email
    code: MailedCode
