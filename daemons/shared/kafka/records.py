"""A record on a topic, going out or coming in."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from daemons.contracts.wire import format_instant

SPEC_VERSION = "1.0"


@dataclass(frozen=True, slots=True)
class OutgoingRecord:
    """What is published: a CloudEvent in binary mode (CloudEvents 1.0, Kafka protocol binding)."""

    topic: str
    key: str
    value: bytes
    headers: dict[str, str | bytes | None]

    @property
    def event_id(self) -> str:
        """The event's id, by which consumers know it when it comes again."""
        return str(self.headers["ce_id"])


@dataclass(frozen=True, slots=True)
class IncomingRecord:
    """What was consumed, as it came; whether it is an event of ours is the consumer's business."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes] = field(default_factory=dict)


def event_headers(
    *, event_id: UUID, event_type: str, source: str, time: datetime
) -> dict[str, str | bytes | None]:
    """Return the CloudEvents attributes as Kafka headers."""
    return {
        "ce_specversion": SPEC_VERSION,
        "ce_id": str(event_id),
        "ce_type": event_type,
        "ce_source": source,
        "ce_time": format_instant(time),
        "content-type": "application/json",
    }
