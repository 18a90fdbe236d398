"""From a Kafka record to an event: CloudEvents 1.0 in binary mode, data as contracts/events/ says."""

from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from daemons.contracts.events.table import DATA_MODELS, JOURNAL_EVENT_TYPES, EventData
from daemons.contracts.names import EventType
from daemons.notifier.event import Event
from daemons.shared.kafka.records import SPEC_VERSION, IncomingRecord

LARGEST_VALUE_BYTES = 8 * 1024
"""Three times what an event of ours can have. What is written of a batch of such, account ids more than once,
must fit a command to the database.
"""
_LONGEST_SOURCE = 200
_LONGEST_KEY = 100
_FAULTS_TOLD = 3


class UndecodableError(ValueError):
    """The record is not a valid event; the text says why and never repeats the record's content."""


def decode(record: IncomingRecord) -> Event:
    """Turn a record into an event.

    Raises:
        UndecodableError: a header is missing or wrong, or the value does not fit the type's model.
    """
    if _header(record, "ce_specversion") != SPEC_VERSION:
        raise UndecodableError(f"header ce_specversion is not {SPEC_VERSION}")
    if _header(record, "content-type").partition(";")[0].strip() != "application/json":
        raise UndecodableError("header content-type is not application/json")
    event_type = _type_of(record)
    data = _data_of(record, event_type)
    event = Event(
        id=_id_of(record),
        type=event_type,
        source=_bounded(_header(record, "ce_source"), "header ce_source", _LONGEST_SOURCE),
        key=_bounded(_text(record.key, "key"), "key", _LONGEST_KEY),
        time=_time_of(record),
        data=data,
        document=_document_of(data),
        partition=record.partition,
        offset=record.offset,
    )
    if event_type in JOURNAL_EVENT_TYPES and event.document["transaction_id"] != str(event.id):
        raise UndecodableError("header ce_id is not the id of the transaction in the data")
    return event


def _type_of(record: IncomingRecord) -> EventType:
    try:
        event_type = EventType(_header(record, "ce_type"))
    except ValueError:
        raise UndecodableError("header ce_type is not a known type") from None
    if event_type.value != record.topic:
        raise UndecodableError("header ce_type is not the type of this topic")
    return event_type


def _id_of(record: IncomingRecord) -> UUID:
    text = _header(record, "ce_id")
    try:
        event_id = UUID(text)
    except ValueError:
        raise UndecodableError("header ce_id is not a UUID") from None
    if str(event_id) != text:
        raise UndecodableError("header ce_id is not a UUID in its usual form")
    return event_id


def _time_of(record: IncomingRecord) -> datetime:
    text = _header(record, "ce_time")
    try:
        time = datetime.fromisoformat(text)
        in_utc = time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise UndecodableError("header ce_time is not an RFC 3339 time") from None
    if time.tzinfo is None:
        raise UndecodableError("header ce_time has no time zone")
    return in_utc


def _data_of(record: IncomingRecord, event_type: EventType) -> EventData:
    if record.value is None:
        raise UndecodableError("the record has no value")
    if len(record.value) > LARGEST_VALUE_BYTES:
        raise UndecodableError(f"the value is larger than {LARGEST_VALUE_BYTES:,} bytes")
    try:
        return cast("EventData", DATA_MODELS[event_type].model_validate_json(record.value))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        reasons = [
            f"{'.'.join(map(str, fault['loc'])) or 'value'}: {_words(fault)}"
            for fault in faults[:_FAULTS_TOLD]
        ]
        raise UndecodableError(f"the data does not fit {event_type.value}: {'; '.join(reasons)}") from None


def _words(fault: ErrorDetails) -> str:
    # People read it; a regular expression tells them nothing.
    return (
        "has not the form that it must have" if fault["type"] == "string_pattern_mismatch" else fault["msg"]
    )


def _document_of(data: EventData) -> dict[str, object]:
    if data.occurred_at.tzinfo is None:
        raise UndecodableError("the data holds a time that has no zone")
    try:
        return data.model_dump(mode="json")
    # A time at the edge of the calendar has no form in UTC.
    except (ValueError, OverflowError):
        raise UndecodableError("the data holds a time that cannot be expressed in UTC") from None


def _header(record: IncomingRecord, name: str) -> str:
    return _text(record.headers.get(name), f"header {name}")


def _text(raw: bytes | None, what: str) -> str:
    if not raw:
        raise UndecodableError(f"{what} is missing")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise UndecodableError(f"{what} is not UTF-8") from None
    if not text.isprintable():
        raise UndecodableError(f"{what} holds control characters")
    return text


def _bounded(text: str, what: str, longest: int) -> str:
    if len(text) > longest:
        raise UndecodableError(f"{what} is longer than {longest} characters")
    return text
