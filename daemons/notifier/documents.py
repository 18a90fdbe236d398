"""Events, notifications and dead letters as MongoDB documents."""

from dataclasses import asdict
from datetime import datetime
from uuid import UUID

from daemons.contracts.events import EventType
from daemons.notifier.dead_letters.dead_letter import (
    DeadLetter,
    Intake,
    KeptLetter,
    LetterStatus,
    Replay,
    ReplayResult,
)
from daemons.notifier.event import Event, RecordedEvent
from daemons.notifier.notifications.notification import Notification
from daemons.notifier.severity import Severity
from daemons.shared.kafka.records import IncomingRecord
from daemons.shared.mongo import Document


def event_document(event: Event, notification: Notification, *, position: int) -> Document:
    """Write an event with the place it takes in the order of all."""
    return {
        "_id": position,
        "id": event.id,
        "type": event.type.value,
        "source": event.source,
        "key": event.key,
        "time": event.time,
        "data": event.document,
        "severity": notification.severity.value,
        "account_ids": list(event.account_ids),
        "received_at": notification.created_at,
    }


def event_from(document: Document) -> RecordedEvent:
    """Read a recorded event."""
    return RecordedEvent(
        position=document["_id"],
        id=document["id"],
        type=EventType(document["type"]),
        source=document["source"],
        key=document["key"],
        time=document["time"],
        data=document["data"],
        severity=Severity(document["severity"]),
        account_ids=document["account_ids"],
        received_at=document["received_at"],
    )


def notification_document(notification: Notification, *, position: int) -> Document:
    """Write a notification with its event's position, by which notifications are listed."""
    return {
        "_id": notification.id,
        "position": position,
        "event_id": notification.event_id,
        "event_type": notification.event_type.value,
        "channel": notification.channel,
        "recipient": notification.recipient,
        "severity": notification.severity.value,
        "text": notification.text,
        "account_ids": list(notification.account_ids),
        "created_at": notification.created_at,
    }


def notification_from(document: Document) -> Notification:
    """Read a notification."""
    return Notification(
        id=document["_id"],
        event_id=document["event_id"],
        event_type=EventType(document["event_type"]),
        channel=document["channel"],
        recipient=document["recipient"],
        severity=Severity(document["severity"]),
        text=document["text"],
        account_ids=tuple(document["account_ids"]),
        created_at=document["created_at"],
    )


def dead_letter_document(letter_id: UUID, letter: DeadLetter, *, received_at: datetime) -> Document:
    """Write a new letter whole, so that it can be replayed. Header names are anything, so values."""
    record = letter.record
    return {
        "_id": letter_id,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        # Of the record as it came: what is stored of it may be mended before it is replayed.
        "digest": letter.identity[-1],
        "key": record.key,
        "value": record.value,
        "headers": [{"name": name, "value": value} for name, value in record.headers.items()],
        "reason": letter.reason,
        "received_at": received_at,
        "status": LetterStatus.OPEN.value,
        "last_replay": None,
    }


def dead_letter_from(document: Document) -> KeptLetter:
    """Read a letter."""
    record = IncomingRecord(
        topic=document["topic"],
        partition=document["partition"],
        offset=document["offset"],
        key=document["key"],
        value=document["value"],
        headers={header["name"]: header["value"] for header in document["headers"]},
    )
    replay = document["last_replay"]
    return KeptLetter(
        id=document["_id"],
        letter=DeadLetter(record, document["reason"]),
        status=LetterStatus(document["status"]),
        received_at=document["received_at"],
        last_replay=Replay(**{**replay, "result": ReplayResult(replay["result"])}) if replay else None,
    )


def replay_document(replay: Replay) -> Document:
    """Write the outcome of a replay."""
    return {**asdict(replay), "result": replay.result.value}


def intake_document(intake: Intake) -> Document:
    """Write the intake, but for its `_id`."""
    return asdict(intake)


def intake_from(document: Document) -> Intake:
    """Read the intake."""
    return Intake(**{name: value for name, value in document.items() if name != "_id"})
