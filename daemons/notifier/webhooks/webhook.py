"""A webhook: a receiver of events elsewhere, its secrets, and how it stands."""

import base64
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from daemons.contracts.errors import ConflictError, InvalidRequestError, NotFoundError
from daemons.contracts.names import EventType

MOST_WEBHOOKS = 50
"""Each event owes every one of them a delivery."""
LONGEST_OVERLAP = timedelta(days=7)
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A receiver. Without types it gets events of all; `previous_secret` signs as well until it ends."""

    id: UUID
    url: str
    types: frozenset[EventType]
    secret: str = field(repr=False)
    created_at: datetime
    previous_secret: str | None = field(default=None, repr=False)
    previous_until: datetime | None = None
    failing_since: datetime | None = None
    last_fault: str | None = None
    disabled_at: datetime | None = None

    def takes(self, event_type: EventType) -> bool:
        """Tell whether events of this type go to it."""
        return self.disabled_at is None and (not self.types or event_type in self.types)

    def signing_secrets(self, now: datetime) -> list[str]:
        """Return the secrets that sign at this time, the present one first."""
        if self.previous_secret is None or self.previous_until is None or self.previous_until <= now:
            return [self.secret]
        return [self.secret, self.previous_secret]

    def audit_fields(self) -> dict[str, object]:
        """Return what the audit keeps of it: never a secret."""
        return {
            "url": self.url,
            "types": sorted(event_type.value for event_type in self.types),
            "disabled": self.disabled_at is not None,
        }


def new_secret() -> str:
    """Return a secret as Standard Webhooks writes one."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"


def webhook_not_found() -> NotFoundError:
    """The error for an id that no webhook has."""
    return NotFoundError("webhook_not_found", "There is no such webhook.")


def url_refused(fault: str) -> InvalidRequestError:
    """The error for a URL that nothing may be posted to."""
    return InvalidRequestError("webhook_url_refused", f"The URL cannot be used. {fault}")


def too_many_webhooks() -> ConflictError:
    """The error for a webhook more than the notifier serves."""
    return ConflictError(
        "too_many_webhooks", f"There are {MOST_WEBHOOKS} webhooks already; remove one first."
    )
