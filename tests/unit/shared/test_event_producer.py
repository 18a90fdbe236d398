"""What counts as published: only what Kafka has given an offset."""

from confluent_kafka import KafkaError, Message

from daemons.shared.kafka.producer import Delivery

TOPIC, OTHER = "TransactionCompleted", "AccountFunded"
NO_OFFSET = -1001
"""As the library has it in a report of success for a record that it only takes to be delivered."""


def reported(topic: str, offset: int) -> Message:
    return Message(topic=topic, partition=0, offset=offset)


async def test_a_record_without_an_offset_is_not_published() -> None:
    delivery = Delivery([TOPIC, TOPIC, OTHER])
    delivery.report_of[TOPIC](None, reported(TOPIC, NO_OFFSET))
    delivery.report_of[TOPIC](None, reported(TOPIC, 0))
    delivery.report_of[OTHER](None, reported(OTHER, 17))
    await delivery.settled
    assert not delivery.is_confirmed()
    assert not delivery.is_confirmed(TOPIC)
    assert delivery.is_confirmed(OTHER)
    assert TOPIC in delivery.sentence()


async def test_every_record_with_an_offset_is_published() -> None:
    delivery = Delivery([TOPIC, TOPIC])
    delivery.report_of[TOPIC](None, reported(TOPIC, 0))
    assert not delivery.is_confirmed()
    delivery.report_of[TOPIC](None, reported(TOPIC, 1))
    await delivery.settled
    assert delivery.is_confirmed()


async def test_what_kafka_refused_is_told_by_its_error() -> None:
    delivery = Delivery([TOPIC])
    delivery.report_of[TOPIC](KafkaError(KafkaError._MSG_TIMED_OUT), None)
    await delivery.settled
    assert delivery.failures[TOPIC].code() == KafkaError._MSG_TIMED_OUT
