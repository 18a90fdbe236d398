"""Which account each daemon has at Kafka, and what it may do there: nothing that is not named here."""

from dataclasses import dataclass

from daemons.contracts.names import EventType

TOPICS = tuple(event_type.value for event_type in EventType)
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
    KafkaGrant(account="banking_api", creates=TOPICS, writes=TOPICS, reads=TOPICS),
    # What it cannot understand it keeps in its own database, so it writes nowhere.
    KafkaGrant(account="notifier", reads=TOPICS, group=NOTIFIER_GROUP),
)
