"""What passes between the processes of banking_api arrives as it was sent, of every kind there is."""

import dataclasses
from datetime import UTC, datetime
from enum import Enum
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.kinds.table import KINDS
from daemons.banking_api.ledger.account import Entry
from daemons.banking_api.ledger.record import Act, Command, Failure, Outcome, Record
from daemons.banking_api.ledger.wire import (
    act_of,
    answer_document,
    answer_from,
    command_document,
    command_from,
    pack,
    unpack,
)
from daemons.contracts.errors import ConflictError, OutcomeUnknownError, RejectedError
from daemons.shared.audit.record import Actor

NUMBERS = st.integers(-(2**63), 2**63 - 1)
TIMES = st.integers(0, 4_102_444_800_000).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    UUID: st.uuids(),
    str: st.text(),
    int: NUMBERS,
    bool: st.booleans(),
    datetime: TIMES,
}
ENTRIES = st.builds(
    Entry,
    st.text(),
    st.none() | st.uuids(),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.none() | st.fixed_dictionaries({"owner": st.uuids(), "opened_at": TIMES, "name": st.none()}),
)
RECORDS = st.builds(
    Record,
    id=st.uuids(),
    kind=st.sampled_from(sorted(KINDS)),
    initiator=st.uuids(),
    idempotency_id=st.binary(min_size=16, max_size=16),
    fingerprint=st.binary(min_size=16, max_size=16),
    at=TIMES,
    entries=st.lists(ENTRIES).map(tuple),
    data=st.dictionaries(st.sampled_from("abc"), st.none() | st.text() | NUMBERS | st.uuids()),
    failure=st.none() | st.builds(Failure, st.text(), st.text()),
    attempt=st.none() | ENTRIES,
)


def values(type_: Any) -> st.SearchStrategy[Any]:
    if get_origin(type_) in (Union, UnionType):
        return st.one_of([values(option) for option in get_args(type_)])
    if type_ is type(None):
        return st.none()
    if get_origin(type_) is tuple:
        return st.lists(values(get_args(type_)[0])).map(tuple)
    if issubclass(type_, Enum):
        return st.sampled_from(type_)
    if issubclass(type_, tuple):
        hints = get_type_hints(type_)
        return st.builds(type_, **{name: values(hint) for name, hint in hints.items()})
    return SIMPLE[type_]


def commands(kind: type[Command]) -> st.SearchStrategy[Command]:
    hints = get_type_hints(kind)
    fields = [field for field in dataclasses.fields(kind) if field.init and field.name != "act"]
    return st.builds(kind, **{field.name: values(hints[field.name]) for field in fields})


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@given(data=st.data())
def test_a_command_arrives_as_it_was_sent(kind: type[Command], data: st.DataObject) -> None:
    sent = data.draw(commands(kind))
    document = unpack(pack(command_document(sent)))
    arrived = command_from(document, KINDS, None)
    assert arrived == sent
    # What two commands with the same content may differ in.
    assert arrived.id == sent.id
    for name in document.keys() - {"kind"}:
        assert isinstance(getattr(arrived, name), type(getattr(sent, name)))
    assert act_of(document) is None


@given(record=RECORDS, replayed=st.booleans(), key_reused=st.booleans())
def test_an_outcome_arrives_as_it_was_sent(record: Record, *, replayed: bool, key_reused: bool) -> None:
    sent = Outcome(record, replayed, key_reused)
    assert answer_from(unpack(pack(answer_document(sent)))) == sent


@pytest.mark.parametrize(
    "sent",
    [
        RejectedError("insufficient_funds", "Too little.", details={"transaction_id": "1"}, replayed=True),
        ConflictError("idempotency_key_in_use", "Repeat it.", retry_after_seconds=1),
        OutcomeUnknownError("outcome_unknown", "It is not known.", retry_after_seconds=1),
    ],
)
def test_an_error_arrives_as_it_was_sent(sent: RejectedError | ConflictError | OutcomeUnknownError) -> None:
    arrived = answer_from(unpack(pack(answer_document(sent))))
    assert type(arrived) is type(sent)
    assert vars(arrived) == vars(sent)


def test_an_act_tells_who_and_by_which_approval() -> None:
    user = uuid4()
    actor = Actor(user_id=user, display_name="Op", role="operator", address="10.0.0.1", request_id="r")
    command = KINDS["freeze"](
        initiator=user, idempotency_key="k", account_id="A", reason="r", act=Act(actor=actor)
    )
    document = unpack(pack(command_document(command)))
    assert act_of(document) == (actor, None)
    act = Act(actor=actor)
    assert command_from(document, KINDS, act).act == act
