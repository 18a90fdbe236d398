"""What the routes of webhooks take and answer."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from daemons.contracts.wire import Instant, Reason, UuidText, WireModel
from daemons.notifier.event_log.models import TypeName
from daemons.notifier.webhooks.service import Tested
from daemons.notifier.webhooks.webhook import LONGEST_OVERLAP, Webhook

_LONGEST_OVERLAP_HOURS = int(LONGEST_OVERLAP / timedelta(hours=1))


class NewWebhook(WireModel):
    """A webhook to add; without types it gets events of all types."""

    url: Annotated[str, Field(min_length=1, max_length=500, examples=["https://example.com/bank"])]
    types: Annotated[list[TypeName], Field(max_length=50, default_factory=list)]
    reason: Reason


class Rotation(WireModel):
    """How many hours the old secret goes on signing beside the new one; 0 if it may be known to others."""

    overlap_hours: Annotated[int, Field(ge=0, le=_LONGEST_OVERLAP_HOURS)] = 24
    reason: Reason


class WebhookView(WireModel):
    """A webhook without its secret."""

    id: UuidText
    url: str
    types: list[str]
    created_at: Instant
    failing_since: Instant | None
    last_fault: str | None
    disabled_at: Instant | None
    old_secret_until: Instant | None

    @classmethod
    def of(cls, webhook: Webhook) -> "WebhookView":
        """Show a webhook."""
        return cls(
            id=str(webhook.id),
            url=webhook.url,
            types=sorted(event_type.value for event_type in webhook.types),
            created_at=webhook.created_at,
            failing_since=webhook.failing_since,
            last_fault=webhook.last_fault,
            disabled_at=webhook.disabled_at,
            old_secret_until=webhook.previous_until,
        )


class WebhookWithSecret(WebhookView):
    """A webhook with its secret, which is shown this once."""

    secret: str

    @classmethod
    def showing_secret(cls, webhook: Webhook) -> "WebhookWithSecret":
        """Show a webhook and its new secret."""
        return cls(**dict(WebhookView.of(webhook)), secret=webhook.secret)


class WebhookList(WireModel):
    """All webhooks, oldest first."""

    items: list[WebhookView]


class TestResult(WireModel):
    """Whether the receiver took the test, and what went wrong if it did not."""

    delivered: bool
    fault: str | None
    webhook: WebhookView

    @classmethod
    def of(cls, tested: Tested) -> "TestResult":
        """Show how a test came out."""
        return cls(delivered=tested.fault is None, fault=tested.fault, webhook=WebhookView.of(tested.webhook))
