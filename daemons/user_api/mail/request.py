"""What somebody asked for and confirms by a code from their mail."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from daemons.contracts.errors import UnauthenticatedError
from daemons.shared.ids import new_id
from daemons.user_api.mail.codes import Purpose

CODE_LIFETIME = timedelta(hours=1)
MOST_MESSAGES = 3
"""How often the message of one request is sent."""
MOST_OPEN = 10
"""How many open requests of one purpose have messages to one address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailRequest:
    """A request that its code carries out, once.

    `email` is where the code goes. `user_id` is whose request it is; a decoy has none, and its code is good
    for nothing. `data` is what is carried out.
    """

    id: UUID = field(default_factory=new_id)
    purpose: Purpose
    email: str
    user_id: UUID | None
    data: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime
    expires_at: datetime
    messages: int = 1

    def is_fresh(self, now: datetime) -> bool:
        """Tell whether its code is good for long enough to be mailed again."""
        return self.expires_at - now > (self.expires_at - self.created_at) / 2


def invalid_code() -> UnauthenticatedError:
    """The one error for a code that is wrong, was used, is out of date, or is for an unknown address."""
    return UnauthenticatedError("invalid_code", "The code is wrong, too old, or was used already.")
