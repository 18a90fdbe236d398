"""Commands and outcomes between a front and the ledger, as BSON: many of them in one message."""

import dataclasses
from collections.abc import Mapping
from enum import Enum
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import bson

from daemons.banking_api.ledger.documents import BSON_OPTIONS, record_document, record_from
from daemons.banking_api.ledger.record import Act, Command, Outcome
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
    for name in _fields(type(command)):
        value = getattr(command, name)
        document[name] = value.value if isinstance(value, Enum) else value
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
    fields = {name: _as(type_, document[name]) for name, type_ in _fields(kind).items()}
    return kind(**fields, act=act)


def act_of(document: Document) -> tuple[Actor, UUID | None] | None:
    """Return who acts by a command, and the id of the approval that they carry out."""
    act = document.get("act")
    return None if act is None else (Actor(**act["actor"]), act["approval"])


def answer_document(answer: Outcome | BankError) -> Document:
    """Return what became of a command."""
    if isinstance(answer, Outcome):
        return {
            "record": record_document(answer.record),
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
        return Outcome(record_from(document["record"]), document["replayed"], document["key_reused"])
    return _ERRORS.get(document["category"], BankError)(
        document["code"],
        document["message"],
        details=document["details"],
        retry_after_seconds=document["retry_after_seconds"],
        replayed=document["replayed"],
    )


@cache
def _fields(kind: type[Command]) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {
        field.name: hints[field.name]
        for field in dataclasses.fields(kind)
        if field.init and field.name != "act"
    }


def _as(type_: Any, value: Any) -> Any:
    """Return a value as the command's field has it: BSON knows neither enums nor tuples."""
    if get_origin(type_) in (Union, UnionType):
        if value is None:
            return None
        [type_] = [option for option in get_args(type_) if option is not type(None)]
    if get_origin(type_) is tuple:
        return tuple(value)
    if isinstance(type_, type) and issubclass(type_, Enum):
        return type_(value)
    return value
