"""Events of ours are decoded; whatever else comes is refused with its reason, never with a crash."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from uuid import UUID

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from hypothesis import given
from hypothesis import strategies as st

from daemons.contracts.names import EventType
from daemons.contracts.wire import WireModel, format_instant
from daemons.notifier.event_log.decoding import LARGEST_VALUE_BYTES, UndecodableError, decode
from daemons.shared.ids import new_id
from daemons.shared.kafka.records import IncomingRecord
from tests.support.events import (
    ANNS_ACCOUNT,
    BOS_ACCOUNT,
    adjusted,
    changed,
    completed,
    consumed,
    failed,
    funded,
    publishable,
    registered,
    user_changed,
)


def _good() -> IncomingRecord:
    event_id = new_id()
    return consumed(publishable(event_id, completed(event_id)))


@pytest.mark.parametrize(
    "make",
    [
        completed,
        failed,
        funded,
        lambda _: changed("opened"),
        lambda _: registered(),
        lambda _: user_changed("role"),
    ],
)
def test_every_type_is_decoded(make: Callable[[UUID], WireModel]) -> None:
    event_id = new_id()
    data = make(event_id)
    event = decode(consumed(publishable(event_id, data)))
    assert (event.id, event.type, event.data) == (event_id, EventType(type(data).__name__), data)
    assert type(data).model_validate(event.document) == data


_FAULTS = {
    "no headers": lambda good: replace(good, headers={}),
    "another version": lambda good: _with_header(good, "ce_specversion", b"0.3"),
    "not JSON by its header": lambda good: _with_header(good, "content-type", b"text/plain"),
    "unknown type": lambda good: _with_header(good, "ce_type", b"Nonsense"),
    "type of another topic": lambda good: _with_header(good, "ce_type", b"TransactionFailed"),
    "id is no UUID": lambda good: _with_header(good, "ce_id", b"17"),
    "id in another form": lambda good: _with_header(good, "ce_id", good.headers["ce_id"].upper()),
    "id of another transaction": lambda good: _with_header(good, "ce_id", str(new_id()).encode()),
    "time without zone": lambda good: _with_header(good, "ce_time", b"2026-01-01T00:00:00"),
    "time beyond the calendar": lambda good: _with_header(good, "ce_time", b"0001-01-01T00:00:00+14:00"),
    "no time": lambda good: _with_header(good, "ce_time", b"soon"),
    "source too long": lambda good: _with_header(good, "ce_source", b"s" * 201),
    "header not UTF-8": lambda good: _with_header(good, "ce_source", b"\xff"),
    "header with control characters": lambda good: _with_header(good, "ce_source", b"\x1b[31m"),
    "no key": lambda good: replace(good, key=None),
    "no value": lambda good: replace(good, value=None),
    "empty value": lambda good: replace(good, value=b""),
    "cut value": lambda good: replace(good, value=good.value[:-1]),
    "value too large": lambda good: replace(good, value=good.value + b" " * LARGEST_VALUE_BYTES),
    "not an object": lambda good: replace(good, value=b"[]"),
    "lone surrogate": lambda good: replace(good, value=good.value.replace(b'"rent"', b'"\\ud800"')),
    "number for text": lambda good: replace(good, value=good.value.replace(b'"rent"', b"7")),
    "currency of no form": lambda good: replace(good, value=good.value.replace(b'"EUR"', b'"eur"')),
    "unknown field": lambda good: replace(good, value=good.value[:-1] + b',"more":1}'),
    "number beyond 64 bits": lambda good: replace(
        good, value=good.value.replace(b'"sequence":1', b'"sequence":9223372036854775808')
    ),
    "first time that UTC cannot tell": lambda good: _with_time(good, b"0001-01-01T00:00:00+14:00"),
    "last time that UTC cannot tell": lambda good: _with_time(good, b"9999-12-31T23:59:59-14:00"),
    "time of data without zone": lambda good: _with_time(good, b"2026-01-01T00:00:00"),
    "time of data beyond the calendar": lambda good: _with_time(good, b"10000-01-01T00:00:00Z"),
}


_UNFIT = "the data does not fit TransactionCompleted: "
_REASONS = {
    "no headers": "header ce_specversion is missing",
    "another version": "header ce_specversion is not 1.0",
    "not JSON by its header": "header content-type is not application/json",
    "unknown type": "header ce_type is not a known type",
    "type of another topic": "header ce_type is not the type of this topic",
    "id is no UUID": "header ce_id is not a UUID",
    "id in another form": "header ce_id is not a UUID in its usual form",
    "id of another transaction": "header ce_id is not the id of the transaction in the data",
    "time without zone": "header ce_time has no time zone",
    "time beyond the calendar": "header ce_time is not an RFC 3339 time",
    "no time": "header ce_time is not an RFC 3339 time",
    "source too long": "header ce_source is longer than 200 characters",
    "header not UTF-8": "header ce_source is not UTF-8",
    "header with control characters": "header ce_source holds control characters",
    "no key": "key is missing",
    "no value": "the record has no value",
    "empty value": f"{_UNFIT}value: Invalid JSON",
    "cut value": f"{_UNFIT}value: Invalid JSON",
    "value too large": "the value is larger than 8,192 bytes",
    "not an object": f"{_UNFIT}value: Input should be an object",
    "lone surrogate": f"{_UNFIT}value: Invalid JSON",
    "number for text": f"{_UNFIT}reference: Input should be a valid string",
    # People read it; a regular expression tells them nothing.
    "currency of no form": f"{_UNFIT}amount.currency: has not the form that it must have",
    "unknown field": f"{_UNFIT}more: Extra inputs are not permitted",
    "number beyond 64 bits": f"{_UNFIT}sender.sequence: Input should be less than",
    "first time that UTC cannot tell": "the data holds a time that cannot be expressed in UTC",
    "last time that UTC cannot tell": "the data holds a time that cannot be expressed in UTC",
    "time of data without zone": "the data holds a time that has no zone",
    "time of data beyond the calendar": f"{_UNFIT}occurred_at: Input should be a valid datetime",
}


@pytest.mark.parametrize("fault", _FAULTS)
def test_what_is_no_event_is_refused_with_a_reason(fault: str) -> None:
    good = _good()
    decode(good)
    with pytest.raises(UndecodableError) as refused:
        decode(_FAULTS[fault](good))
    assert str(refused.value).startswith(_REASONS[fault])


def test_of_many_faults_three_are_told() -> None:
    value = b'{"transaction_id":1,"kind":"transfer","description":null,"amount":2,"sender":3,"receiver":4}'
    with pytest.raises(UndecodableError) as refused:
        decode(replace(_good(), value=value))
    reason = str(refused.value).removeprefix(_UNFIT)
    assert [part.partition(":")[0] for part in reason.split("; ")] == [
        "initiated_by",
        "occurred_at",
        "transaction_id",
    ]


def test_an_event_has_what_its_record_says() -> None:
    good = _good()
    longest = replace(
        _with_header(_with_header(good, "ce_source", b"s" * 200), "content-type", b"application/json ; a=b"),
        key=b"k" * 100,
    )
    event = decode(_with_header(longest, "ce_time", b"2026-01-02T05:00:00+02:00"))
    assert (event.source, event.key) == ("s" * 200, "k" * 100)
    assert event.time.isoformat() == "2026-01-02T03:00:00+00:00"
    assert event.time.tzinfo is UTC, "whatever the zone of this machine"
    with pytest.raises(UndecodableError, match="key is longer than 100 characters"):
        decode(replace(good, key=b"k" * 101))


def test_the_largest_value_is_decoded() -> None:
    good = _good()
    assert good.value is not None
    padded = good.value + b" " * (LARGEST_VALUE_BYTES - len(good.value))
    assert decode(replace(good, value=padded)).document["reference"] == "rent"
    with pytest.raises(UndecodableError, match="larger"):
        decode(replace(good, value=padded + b" "))


@pytest.mark.parametrize(
    ("make", "accounts"),
    [
        (completed, (ANNS_ACCOUNT, BOS_ACCOUNT)),
        (failed, (ANNS_ACCOUNT, BOS_ACCOUNT)),
        (funded, (ANNS_ACCOUNT,)),
        (adjusted, (ANNS_ACCOUNT,)),
        (lambda _: changed("closed"), (ANNS_ACCOUNT,)),
        (lambda _: user_changed("status"), ()),
        (lambda event_id: completed(event_id, sender=BOS_ACCOUNT), (BOS_ACCOUNT,)),
    ],
)
def test_an_event_names_its_accounts_each_once(
    make: Callable[[UUID], WireModel], accounts: tuple[str, ...]
) -> None:
    event_id = new_id()
    assert decode(consumed(publishable(event_id, make(event_id)))).account_ids == accounts


@pytest.mark.parametrize("time", [b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59.999Z"])
def test_every_time_of_the_calendar_is_decoded(time: bytes) -> None:
    event = decode(_with_time(_with_header(_good(), "ce_time", time), time))
    assert event.document["occurred_at"] == format_instant(event.time)
    assert str(event.document["occurred_at"])[:4] == time[:4].decode()


def _with_time(good: IncomingRecord, time: bytes) -> IncomingRecord:
    assert good.value is not None
    return replace(good, value=re.sub(rb'("occurred_at":")[^"]*', rb"\g<1>" + time, good.value))


@given(
    key=st.none() | st.binary(max_size=20),
    value=st.none() | st.binary(max_size=200),
    headers=st.dictionaries(
        st.sampled_from(["ce_id", "ce_type", "ce_source", "ce_specversion", "ce_time", "content-type"]),
        st.binary(max_size=40),
    ),
)
def test_nothing_that_comes_crashes_decoding(
    key: bytes | None, value: bytes | None, headers: dict[str, bytes]
) -> None:
    with pytest.raises(UndecodableError):
        decode(IncomingRecord("TransactionCompleted", 0, 0, key, value, headers))


def test_the_official_sdk_reads_our_records() -> None:
    event_id = new_id()
    sent = publishable(event_id, completed(event_id))
    received = consumed(sent)
    event = from_kafka_event(KafkaMessage(headers=received.headers, key=received.key, value=received.value))
    assert event.get_id() == str(event_id)
    assert event.get_type() == "TransactionCompleted"
    assert event.get_source() == "/banking_api"
    assert event.get_specversion() == "1.0"
    assert event.get_datacontenttype() == "application/json"
    assert event.get_time() == decode(received).time
    assert event.get_data() == decode(received).document


def _with_header(good: IncomingRecord, name: str, value: bytes) -> IncomingRecord:
    return replace(good, headers={**good.headers, name: value})
