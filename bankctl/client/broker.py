"""Events from Kafka itself, for those who may read its topics: no bank is asked and no consumer group joined.

Each topic's partitions are read from a known offset on, so that a cut, from which Kafka's client recovers by
itself, loses nothing. A record that was published twice is shown once.
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from bankctl.client.event_filter import FAILURES, EventFilter
from bankctl.client.event_stream import Seen
from bankctl.errors import CliError, ExitStatus, usage_error
from bankctl.render import messages
from bankctl.times import parse_since
from daemons.contracts.kafka_accounts import TOPICS

PASSWORD_VARIABLE = "KAFKA_PASSWORD"  # noqa: S105  # the variable's name
_CONNECT_SECONDS = 2.0
_ASK_SECONDS = 10.0
_POLL_SECONDS = 0.5
_REFUSALS = {
    KafkaError._AUTHENTICATION,  # noqa: SLF001  # how the library names its own errors
    KafkaError._SSL,  # noqa: SLF001
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
}


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Where Kafka is, and as whom it is talked to."""

    brokers: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    mechanism: str = "SCRAM-SHA-512"
    tls: bool = False
    ca_file: Path | None = None

    @classmethod
    def of_environment(
        cls, brokers: str, *, user: str | None, mechanism: str | None, tls: bool, ca_file: Path | None
    ) -> "BrokerOptions":
        """Return what the options say, and of the rest what the daemons' variables do.

        Raises:
            CliError: they do not fit together.
        """
        security = os.environ.get("KAFKA_SECURITY", "plaintext").lower()
        if security not in {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl"}:
            raise usage_error(
                f"KAFKA_SECURITY is {security!r}",
                hint="set it to plaintext, ssl, sasl_plaintext or sasl_ssl",
                code="invalid_environment",
            )
        user = user or os.environ.get("KAFKA_USERNAME") or None
        password = os.environ.get(PASSWORD_VARIABLE)
        if security.startswith("sasl") and user is None:
            raise usage_error(f"KAFKA_SECURITY={security} needs --broker-user or KAFKA_USERNAME")
        if user is not None and not password:
            raise usage_error(
                f"the password of {user} at Kafka is missing",
                hint=f"put it into {PASSWORD_VARIABLE}; an option would show it to everybody on this machine",
                code="no_broker_password",
            )
        named = os.environ.get("KAFKA_CA_FILE")
        ca_file = ca_file or (Path(named) if named else None)
        if ca_file is not None and not ca_file.is_file():
            raise usage_error(f"{ca_file} is not a file", code="no_such_file")
        return cls(
            brokers,
            user,
            password if user else None,
            mechanism or os.environ.get("KAFKA_MECHANISM") or "SCRAM-SHA-512",
            tls or ca_file is not None or security.endswith("ssl"),
            ca_file,
        )

    def settings(self) -> dict[str, Any]:
        """Return what Kafka's client needs to connect."""
        protocol = {
            (False, False): "plaintext",
            (False, True): "ssl",
            (True, False): "sasl_plaintext",
            (True, True): "sasl_ssl",
        }[self.user is not None, self.tls]
        settings: dict[str, Any] = {"bootstrap.servers": self.brokers, "security.protocol": protocol}
        if self.user is not None:
            settings |= {
                "sasl.mechanism": self.mechanism,
                "sasl.username": self.user,
                "sasl.password": self.password,
            }
        if self.ca_file is not None:
            settings["ssl.ca.location"] = str(self.ca_file)
        return settings


class _Broker:
    """What Kafka's client says of its connection."""

    def __init__(self, brokers: str) -> None:
        self._brokers = brokers
        self.away: CliError | None = None
        self.away_since = time.monotonic()

    def note(self, error: KafkaError) -> None:
        """Remember why nothing comes; the client goes on trying."""
        if self.away is None:
            self.away_since = time.monotonic()
        self.away = self.failure(error)

    def failure(self, error: KafkaError) -> CliError:
        """Return the error that stands for one of Kafka's."""
        if error.code() in _REFUSALS:
            return CliError(
                f"Kafka at {self._brokers} refuses: {error.str()}",
                exit_status=ExitStatus.FORBIDDEN,
                hint=f"check --broker-user, {PASSWORD_VARIABLE}, --broker-mechanism and --broker-ca",
                code="broker_refused",
            )
        return CliError(
            f"Kafka at {self._brokers} cannot be reached: {error.str()}",
            exit_status=ExitStatus.UNREACHABLE,
            hint="check the address; --broker-tls if it asks for TLS",
            code="broker_unreachable",
        )

    def check(self, wait_seconds: float) -> None:
        """Give up a broker that refuses, or has been away for so long."""
        if self.away is None:
            return
        waited = time.monotonic() - self.away_since
        if self.away.exit_status is ExitStatus.FORBIDDEN or waited > wait_seconds:
            raise self.away


def follow_broker(
    options: BrokerOptions, wanted: EventFilter, *, since_start: bool, wait_seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield the selected events of all topics, as far as possible in the order of each partition.

    Raises:
        CliError: Kafka refuses, or is away for too long.
    """
    broker = _Broker(options.brokers)
    consumer = Consumer(
        {
            **options.settings(),
            # The library wants a name; nothing is committed under it.
            "group.id": f"bankctl-tail-{os.getpid()}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "topic.metadata.refresh.interval.ms": 5000,
            "log_level": 0,
            "error_cb": broker.note,
        }
    )
    try:
        begin = _beginning(consumer, broker, wanted, since_start=since_start, wait_seconds=wait_seconds)
        ends = {(one.topic, one.partition): end for one, end in begin}
        behind = sum(max(0, end - one.offset) for one, end in begin)
        topics = len({one.topic for one, _ in begin})
        messages.note(
            f"following {wanted.words()} on {topics} topics at {options.brokers}, {behind:,} records behind; "
            "Ctrl-C ends it"
        )
        consumer.assign([one for one, _ in begin])
        yield from _events(consumer, broker, wanted, set(ends), wait_seconds=wait_seconds, behind=behind > 0)
    except KafkaException as error:
        raise broker.failure(error.args[0]) from error
    finally:
        consumer.close()


def _beginning(
    consumer: Any, broker: _Broker, wanted: EventFilter, *, since_start: bool, wait_seconds: float
) -> list[tuple[TopicPartition, int]]:
    """Return where to begin each partition, and where it ends now."""
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            topics = consumer.list_topics(timeout=min(_CONNECT_SECONDS, max(0.1, wait_seconds))).topics
            break
        except KafkaException as error:
            # Only then does the library say what is wrong with the connection.
            consumer.poll(0)
            failure = broker.away or broker.failure(error.args[0])
            if failure.exit_status is ExitStatus.FORBIDDEN or time.monotonic() >= deadline:
                raise failure from error
    types = FAILURES if wanted.failures else wanted.types.split(",") if wanted.types else TOPICS
    places = [
        TopicPartition(name, number)
        for name in types
        if name in topics and topics[name].error is None
        for number in topics[name].partitions
    ]
    if not places:
        raise CliError(
            "Kafka has none of the bank's topics, or shows none to this account",
            exit_status=ExitStatus.NOT_FOUND,
            hint="the account needs the right to describe and read them",
            code="no_topics",
        )
    bounds = [consumer.get_watermark_offsets(place, timeout=_ASK_SECONDS) for place in places]
    if since_start:
        starts = [low for low, _ in bounds]
    elif wanted.since is not None:
        since = int(datetime.fromisoformat(parse_since(wanted.since)).timestamp() * 1000)
        asked = [TopicPartition(place.topic, place.partition, since) for place in places]
        found = consumer.offsets_for_times(asked, timeout=_ASK_SECONDS)
        starts = [
            one.offset if one.offset >= 0 else high for one, (_, high) in zip(found, bounds, strict=True)
        ]
    else:
        starts = [high for _, high in bounds]
    return [
        (TopicPartition(place.topic, place.partition, start), high)
        for place, start, (_, high) in zip(places, starts, bounds, strict=True)
    ]


def _events(
    consumer: Any,
    broker: _Broker,
    wanted: EventFilter,
    unread: set[tuple[str, int]],
    *,
    wait_seconds: float,
    behind: bool,
) -> Iterator[dict[str, Any]]:
    seen = Seen()
    while True:
        message = consumer.poll(_POLL_SECONDS)
        if message is None:
            broker.check(wait_seconds)
            continue
        error = message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
            broker.note(error)
            broker.check(wait_seconds)
            continue
        broker.away = None
        if error is not None:
            unread.discard((message.topic(), message.partition()))
            if behind and not unread:
                messages.note("caught up with all partitions")
                behind = False
            continue
        event = _event_of(message)
        if event is None:
            place = f"{message.topic()}, partition {message.partition()}, offset {message.offset()}"
            messages.warn(f"the record at {place} is not an event")
        elif matches(event, wanted) and seen.add(event["id"]):
            yield event


def _event_of(message: Message) -> dict[str, Any] | None:
    """Return a record in the form in which the bank's stream has events; None if it is none."""
    given: Any = message.headers() or []
    headers = {name: value for name, value in given if isinstance(value, bytes)}
    try:
        data = json.loads(message.value() or b"")
        event = {
            "id": headers["ce_id"].decode(),
            "type": headers["ce_type"].decode(),
            "time": headers["ce_time"].decode(),
            "key": (message.key() or b"").decode(),
            "source": headers["ce_source"].decode(),
            "data": data,
            "partition": message.partition(),
            "offset": message.offset(),
        }
    except (KeyError, ValueError):
        return None
    return event if isinstance(data, dict) else None


def matches(event: Mapping[str, Any], wanted: EventFilter) -> bool:
    """Whether an event is one of those asked for; its type and the beginning are chosen by what is read."""
    data = event["data"]
    parties = [data[role] for role in ("sender", "receiver", "account") if isinstance(data.get(role), dict)]
    accounts = {data.get("account_id"), *(party.get("account_id") for party in parties)}
    people = [data.get("owner"), data.get("initiated_by"), *(party.get("owner") for party in parties)]
    users = {data.get("user_id"), *(one.get("user_id") for one in people if isinstance(one, dict))}
    amount = (data.get("amount") or {}).get("amount")
    return (
        (wanted.account is None or wanted.account in accounts)
        and (wanted.user is None or wanted.user in users)
        and (
            wanted.min_amount is None
            or (amount is not None and Decimal(amount) >= Decimal(wanted.min_amount))
        )
    )
