"""A message that is owed to somebody."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from daemons.shared.ids import new_id
from daemons.user_api.mail.codes import Purpose

NOTICE_LIFETIME = timedelta(days=7)
"""A notice that could not be sent for so long helps nobody."""
LANGUAGE = "en"


class Template(StrEnum):
    """The messages; the notifier has their texts by these names."""

    CONFIRM_REGISTRATION = "confirm_registration"
    ADDRESS_TAKEN = "address_taken"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a template
    CONFIRM_NEW_ADDRESS = "confirm_new_address"
    ADDRESS_CHANGED = "address_changed"
    NAME_CHANGED = "name_changed"
    CHANGE_UNDONE = "change_undone"
    SECOND_FACTOR_LOST = "second_factor_lost"
    SIGN_IN_SLOWED = "sign_in_slowed"
    NEW_DEVICE = "new_device"
    NEW_API_KEY = "new_api_key"
    USER_LOCKED = "user_locked"
    SECOND_FACTOR_ACTIVE = "second_factor_active"
    SECOND_FACTOR_REMOVED = "second_factor_removed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of a template


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeOf:
    """Which code the sender writes into a message."""

    purpose: Purpose
    request_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class OwedMessage:
    """What the database holds of a message: everything but its code.

    `decoy`: it is written for somebody who is told nothing, so that the work is the same; it is never sent.
    """

    id: UUID = field(default_factory=new_id)
    template: Template
    email: str
    name: str
    user_id: UUID | None
    values: Mapping[str, str] = field(default_factory=dict)
    code: CodeOf | None = None
    owed_at: datetime
    expires_at: datetime
    decoy: bool = False
