"""What the routes of personal details take."""

from daemons.contracts.wire import Name, WireModel
from daemons.user_api.mail.models import MailedCode
from daemons.user_api.second_factor.models import Code
from daemons.user_api.users.models import Email, PasswordAgain


class AddressChange(PasswordAgain):
    """A new address; `totp` is a fresh code, for those who have a second factor."""

    new_email: Email
    totp: Code | None = None


class AddressCode(WireModel):
    """The code that was mailed to the new address."""

    code: MailedCode


class NameChange(PasswordAgain):
    """Another name."""

    display_name: Name


class Undoing(WireModel):
    """The code that was mailed to the address as it was before."""

    email: Email
    code: MailedCode
