"""What the routes of recovery take."""

from daemons.contracts.wire import WireModel
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
