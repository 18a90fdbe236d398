"""Where Kafka is, as whom it is talked to, and how clients behave while it is away."""

import logging
from dataclasses import dataclass, field
from typing import Any

LIBRARY_LOG = logging.getLogger("kafka")
"""Where the library's own messages go, so that they are structured like everything else."""

QUIET_RECONNECTS: dict[str, Any] = {"reconnect.backoff.ms": 100, "reconnect.backoff.max.ms": 2000}

METADATA_AGE: dict[str, Any] = {"topic.metadata.refresh.interval.ms": 5000}
"""How soon a client sees that a topic is gone, or there again; the default is five minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaAccount:
    """Who a client says it is, and how it proves it; `security` is `sasl_plaintext` or `sasl_ssl`."""

    security: str
    mechanism: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KafkaCluster:
    """The brokers, and the account that they ask for; None where they ask for none."""

    brokers: str
    account: KafkaAccount | None = None

    def client_settings(self) -> dict[str, Any]:
        """Return what every client of the library needs to connect."""
        settings = {"bootstrap.servers": self.brokers}
        if self.account is not None:
            settings |= {
                "security.protocol": self.account.security,
                "sasl.mechanism": self.account.mechanism,
                "sasl.username": self.account.username,
                "sasl.password": self.account.password,
            }
        return settings
