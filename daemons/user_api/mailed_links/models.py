"""What the pages behind links take."""

from typing import Annotated

from pydantic import Field, StringConstraints

from daemons.contracts.wire import WireModel
from daemons.user_api.mail.codes import LINK_PATTERN
from daemons.user_api.users.models import Password


class MailedLink(WireModel):
    """What a link holds in place of a code."""

    token: Annotated[str, StringConstraints(pattern=LINK_PATTERN), Field(repr=False)]


class LinkForm(WireModel):
    """What is typed on the page: the password, and for a new one perhaps a code of the second factor."""

    password: Password
    totp: Annotated[str, Field(max_length=32, repr=False)] = ""
