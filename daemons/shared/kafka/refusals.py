"""Why Kafka does not answer: it is away, or it does not take the account."""

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from daemons.shared.kafka.connection import KafkaCluster


class Refusals:
    """Remembers whether the brokers refused the account: the library's exceptions say that none is up."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self._cluster = cluster
        self._refused = False

    def note(self, error: KafkaError) -> None:
        """Take note of an error; the client's `error_cb`."""
        self._refused = self._refused or error.code() == KafkaError._AUTHENTICATION  # noqa: SLF001 - public

    def sentence(self, client: AdminClient, error: KafkaError) -> str:
        """Return what keeps Kafka from answering, and what mends it."""
        client.poll(0)
        account = self._cluster.account
        if self._refused and account is not None:
            return (
                f"Kafka refuses the account {account.username!r}: there is none, or its password is another; "
                "KAFKA_USERNAME and KAFKA_PASSWORD say who connects"
            )
        return f"Kafka does not answer: {error.name()}"
