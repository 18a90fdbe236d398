"""Commands and outcomes between a front and the ledger, as BSON: many of them in one message.

Ids travel as their bytes and the time of a record in milliseconds: to decode what BSON has for them takes
longer than all else of a command.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache, lru_cache, partial
from operator import attrgetter
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import bson

from daemons.banking_api.ledger.account import Entry
from daemons.banking_api.ledger.documents import BSON_OPTIONS
from daemons.banking_api.ledger.record import Act, Command, Failure, Outcome, Record
from daemons.contracts.errors import (
    BankError,
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    OutcomeUnknownError,
    RejectedError,
    TransientError,
)
from daemons.shared.audit.record import Actor
from daemons.shared.mongo import Document

_ERRORS: dict[str, type[BankError]] = {
    error.category.value: error
    for error in (
        BankError,
        InvalidRequestError,
        ForbiddenError,
        NotFoundError,
        ConflictError,
        RejectedError,
        TransientError,
        OutcomeUnknownError,
    )
}


def pack(message: Document) -> bytes:
    """Return a message as it is sent."""
    return bson.encode(message, codec_options=BSON_OPTIONS)


def unpack(data: bytes) -> Document:
    """Return a message that was sent."""
    return bson.decode(data, codec_options=BSON_OPTIONS)


def command_document(command: Command) -> Document:
    """Return a command with all that it was made with; an approval goes by its id."""
    document: Document = {"kind": command.kind}
    for name, packed, _ in _fields(type(command)):
        value = getattr(command, name)
        document[name] = value if packed is None or value is None else packed(value)
    act = command.act
    if act is not None:
        document["act"] = {
            "actor": dataclasses.asdict(act.actor),
            "approval": None if act.approval is None else act.approval.id,
        }
    return document


def command_from(document: Document, kinds: Mapping[str, type[Command]], act: Act | None) -> Command:
    """Return the command that a document holds; its act was looked up (`act_of`)."""
    kind = kinds[document["kind"]]
    fields: Document = {}
    for name, _, unpacked in _fields(kind):
        value = document[name]
        fields[name] = value if unpacked is None or value is None else unpacked(value)
    return kind(**fields, act=act)


def act_of(document: Document) -> tuple[Actor, UUID | None] | None:
    """Return who acts by a command, and the id of the approval that they carry out."""
    act = document.get("act")
    return None if act is None else (Actor(**act["actor"]), act["approval"])


def answer_document(answer: Outcome | BankError) -> Document:
    """Return what became of a command."""
    if isinstance(answer, Outcome):
        return {
            "record": _record_document(answer.record),
            "replayed": answer.replayed,
            "key_reused": answer.key_reused,
        }
    return {
        "category": answer.category.value,
        "code": answer.code,
        "message": answer.message,
        "details": answer.details,
        "retry_after_seconds": answer.retry_after_seconds,
        "replayed": answer.replayed,
    }


def answer_from(document: Document) -> Outcome | BankError:
    """Return what a document says became of a command."""
    if "record" in document:
        return Outcome(_record_from(document["record"]), document["replayed"], document["key_reused"])
    return error_from(document)


def error_from(document: Document) -> BankError:
    """Return the error that a document holds."""
    return _ERRORS.get(document["category"], BankError)(
        document["code"],
        document["message"],
        details=document["details"],
        retry_after_seconds=document["retry_after_seconds"],
        replayed=document["replayed"],
    )


def _record_document(record: Record) -> Document:
    document: Document = {
        "id": record.id.bytes,
        "kind": record.kind,
        "initiator": record.initiator.bytes,
        "idem": record.idempotency_id,
        "fingerprint": record.fingerprint,
        "at": round(record.at.timestamp() * 1000),
        "entries": [_entry_items(entry) for entry in record.entries],
        "data": record.data,
    }
    if record.failure is not None:
        document["failure"] = [record.failure.code, record.failure.detail]
    if record.attempt is not None:
        document["attempt"] = _entry_items(record.attempt)
    return document


def _record_from(document: Document) -> Record:
    failure, attempt = document.get("failure"), document.get("attempt")
    return Record(
        UUID(bytes=document["id"]),
        document["kind"],
        _user(document["initiator"]),
        document["idem"],
        document["fingerprint"],
        datetime.fromtimestamp(document["at"] / 1000, UTC),
        tuple([_entry_from(items) for items in document["entries"]]),
        document["data"],
        None if failure is None else Failure(*failure),
        None if attempt is None else _entry_from(attempt),
    )


def _entry_items(entry: Entry) -> list[Any]:
    account, owner, *others = entry
    return [account, None if owner is None else owner.bytes, *others]


def _entry_from(items: list[Any]) -> Entry:
    account, owner, *others = items
    return Entry(account, None if owner is None else _user(owner), *others)


_Change = Callable[[Any], Any] | None
"""What is done to a value that is there, if anything."""


@cache
def _fields(kind: type[Command]) -> list[tuple[str, _Change, _Change]]:
    """Return the fields with which a command is made, and how their values are packed and unpacked."""
    hints = get_type_hints(kind)
    return [
        (field.name, *_changes(hints[field.name]))
        for field in dataclasses.fields(kind)
        if field.init and field.name != "act"
    ]


def _changes(type_: Any) -> tuple[_Change, _Change]:
    """BSON knows neither enums nor tuples."""
    if get_origin(type_) in (Union, UnionType):
        [type_] = [option for option in get_args(type_) if option is not type(None)]
    if get_origin(type_) is tuple:
        return list, tuple
    if isinstance(type_, type) and issubclass(type_, tuple) and hasattr(type_, "_make"):
        packs, unpacks = zip(*map(_changes, get_type_hints(type_).values()), strict=True)
        return partial(_changed, packs), lambda items: type_._make(_changed(unpacks, items))
    if type_ is UUID:
        return attrgetter("bytes"), _uuid
    if isinstance(type_, type) and issubclass(type_, Enum):
        return attrgetter("value"), type_
    return None, None


def _changed(changes: Iterable[_Change], values: Iterable[Any]) -> list[Any]:
    return [
        value if change is None or value is None else change(value)
        for change, value in zip(changes, values, strict=True)
    ]


@lru_cache(maxsize=65_536)
def _user(data: bytes) -> UUID:
    """Users come again and again."""
    return UUID(bytes=data)


def _uuid(data: bytes) -> UUID:
    return UUID(bytes=data)
