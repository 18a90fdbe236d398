"""`python -m daemons.shared.kafka_admin ping [BROKERS]`: whether the brokers answer.

Without BROKERS the variable KAFKA_BROKER is used.
"""

import argparse
import os
import sys

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient


def ping(brokers: str, *, timeout_seconds: float) -> int:
    """The number of brokers that the cluster's metadata names.

    Raises:
        KafkaException: none answered in time.
    """
    # The library would write each refused connection to stderr; the exception says it once.
    client = AdminClient(
        {
            "bootstrap.servers": brokers,
            "log_level": 0,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 200,
        }
    )
    return len(client.list_topics(timeout=timeout_seconds).brokers)


def main() -> int:
    """Run the verb; status 1 and one line on stderr when it fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["ping"])
    parser.add_argument("brokers", nargs="?", default=os.environ.get("KAFKA_BROKER", ""))
    parser.add_argument("--timeout-seconds", type=float, default=20.0)
    options = parser.parse_args()
    try:
        answering = ping(options.brokers, timeout_seconds=options.timeout_seconds)
    except KafkaException as error:
        print(f"Kafka does not answer: {error}"[:500], file=sys.stderr)  # noqa: T201 - a command line of its own
        return 1
    if not answering:
        print("Kafka answers but names no broker", file=sys.stderr)  # noqa: T201 - a command line of its own
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
