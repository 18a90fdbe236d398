"""`python -m daemons.shared.kafka_admin VERB`: what is asked of Kafka besides events.

`ping [BROKERS]` tells whether the brokers answer; without BROKERS the environment says where they are and as
whom (KAFKA_BROKER, KAFKA_SECURITY, KAFKA_MECHANISM, KAFKA_USERNAME, KAFKA_PASSWORD).

`prepare` creates the topics, and the daemons' accounts with their rights. compose.yaml runs it each time:
topics that are there are left alone, passwords and rights are brought up to date. The environment's account
must be a super user; BANKING_API_PASSWORD, USER_API_PASSWORD and NOTIFIER_PASSWORD are what the accounts get.
"""

import argparse
import asyncio
import sys
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from daemons.contracts.errors import TransientError
from daemons.contracts.kafka_accounts import KAFKA_GRANTS, TOPICS
from daemons.contracts.names import Daemon
from daemons.shared.kafka.accounts import prepare_accounts
from daemons.shared.kafka.connection import KafkaCluster
from daemons.shared.kafka.refusals import Refusals
from daemons.shared.kafka.topics import ensure_topics
from daemons.shared.settings import KafkaSettings, load_settings


class AccountPasswords(KafkaSettings):
    """The passwords that `prepare` gives the daemons' accounts."""

    banking_api_password: SecretStr
    user_api_password: SecretStr
    notifier_password: SecretStr


def ping(cluster: KafkaCluster, *, timeout_seconds: float) -> int:
    """The number of brokers that the cluster's metadata names.

    Raises:
        TransientError: none answered in time, or the account was refused.
    """
    refusals = Refusals(cluster)
    # The library would write each refused connection to stderr; the exception says it once.
    settings: dict[str, Any] = {
        **cluster.client_settings(),
        "log_level": 0,
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 200,
        "error_cb": refusals.note,
    }
    client = AdminClient(settings)
    try:
        return len(client.list_topics(timeout=timeout_seconds).brokers)
    except KafkaException as error:
        raise TransientError("unavailable", refusals.sentence(client, error.args[0])) from None


def prepare(settings: AccountPasswords) -> None:
    """Create topics and accounts.

    Raises:
        TransientError: Kafka does not answer.
        KafkaException: it refuses.
    """
    passwords = {
        Daemon.BANKING_API.value: settings.banking_api_password.get_secret_value(),
        Daemon.USER_API.value: settings.user_api_password.get_secret_value(),
        Daemon.NOTIFIER.value: settings.notifier_password.get_secret_value(),
    }
    asyncio.run(ensure_topics(settings.kafka, TOPICS))
    prepare_accounts(settings.kafka, KAFKA_GRANTS, passwords)


def main() -> int:
    """Run the verb; status 1 and one line on stderr when it fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=["ping", "prepare"])
    parser.add_argument("brokers", nargs="?", help="ping these, without an account")
    parser.add_argument("--timeout-seconds", type=float, default=20.0)
    options = parser.parse_args()
    try:
        if options.verb == "prepare":
            prepare(load_settings(AccountPasswords))
            return 0
        cluster = KafkaCluster(options.brokers) if options.brokers else load_settings(KafkaSettings).kafka
        answering = ping(cluster, timeout_seconds=options.timeout_seconds)
    except (KafkaException, TransientError) as error:
        print(f"{error}"[:500], file=sys.stderr)  # noqa: T201 - a command line of its own
        return 1
    if not answering:
        print("Kafka answers but names no broker", file=sys.stderr)  # noqa: T201 - a command line of its own
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
