"""Which account each daemon has at Kafka, and what it may do there: nothing that is not named here."""

from dataclasses import dataclass

from daemons.contracts.names import EventType

TOPICS = tuple(event_type.value for event_type in EventType)
USER_TOPICS = (EventType.USER_REGISTERED.value, EventType.USER_CHANGED.value)
"""What user_api tells."""
BANKING_TOPICS = tuple(topic for topic in TOPICS if topic not in USER_TOPICS)
"""What banking_api tells."""
NOTIFIER_GROUP = "notifier"


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaGrant:
    """What one account may do."""

    account: str
    creates: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    group: str | None = None


KAFKA_GRANTS = (
    # A topic that was deleted comes back by itself: its writer makes it again, and no other.
    # It reads how its topics end, to see whether an older copy of its database is served; in no group.
    KafkaGrant(account="banking_api", creates=BANKING_TOPICS, writes=BANKING_TOPICS, reads=BANKING_TOPICS),
    KafkaGrant(account="user_api", creates=USER_TOPICS, writes=USER_TOPICS),
    # What it cannot understand it keeps in its own database, so it writes nowhere.
    KafkaGrant(account="notifier", reads=TOPICS, group=NOTIFIER_GROUP),
)
