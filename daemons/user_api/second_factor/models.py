"""What the routes of the second factor take and answer."""

from typing import Annotated

from pydantic import Field

from daemons.contracts.wire import WireModel
from daemons.user_api.users.models import PasswordAgain

Code = Annotated[str, Field(min_length=6, max_length=32)]


class FactorRemoval(PasswordAgain):
    """Both factors, before one of them is removed."""

    totp: Code


class EnrolmentRequest(PasswordAgain):
    """The password again; where the role needs a second factor, the code that was handed out as well."""

    enrolment_code: Code | None = None


class Enrolment(WireModel):
    """The secret that the second factor's app and user_api share; shown this once."""

    secret: str
    otpauth_uri: str


class FactorCode(WireModel):
    """A code of the second factor."""

    totp: Code


class RecoveryCodes(WireModel):
    """Codes for the day the app is lost; each works once, and they are shown this once."""

    recovery_codes: list[str]
