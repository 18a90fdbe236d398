import hashlib
from datetime import UTC, datetime
from uuid import UUID

import pytest

from daemons.shared.audit.record import (
    SHELL,
    Actor,
    AuditEntry,
    Head,
    Origin,
    chained,
    genesis,
    hash_of,
    stranger,
)

ACTOR = Actor(
    user_id=UUID("01a2070b-61e3-72e0-ba0b-3153895d3598"),
    display_name="Olga",
    role="operator",
    address="192.0.2.7",
    request_id="trace-7",
)
ENTRY = AuditEntry(
    at=datetime(2026, 11, 23, 5, 34, 42, 123000, UTC),
    actor=ACTOR,
    action="freeze",
    target_kind="account",
    target_id="4000000006",
    reason="court order 7, “dringend, für März”",
    before={"status": "active"},
    after={"status": "frozen"},
)


def test_a_record_holds_who_what_when_why_and_from_where() -> None:
    record, head = chained(ENTRY, Head(41, "ab"))
    assert record == {
        "seq": 42,
        "at": "2026-11-23T05:34:42.123Z",
        "actor": {"user_id": str(ACTOR.user_id), "display_name": "Olga", "role": "operator"},
        "action": "freeze",
        "target": {"kind": "account", "id": "4000000006"},
        "reason": "court order 7, “dringend, für März”",
        "request_id": "trace-7",
        "address": "192.0.2.7",
        "before": {"status": "active"},
        "after": {"status": "frozen"},
        "approval": None,
        "documents": None,
        "previous_hash": "ab",
        "hash": head.hash,
    }
    assert head == Head(42, hash_of(record))


def test_the_hash_is_stable_whatever_the_order_of_the_fields() -> None:
    record, _ = chained(ENTRY, genesis("banking_api"))
    assert hash_of(dict(reversed(record.items()))) == record["hash"]
    # Written out, so that a change of the canonical form cannot pass unnoticed: it would break every trail.
    assert hash_of({"b": 1, "a": "ü", "hash": "x"}) == hash_of({"a": "ü", "b": 1})
    assert hash_of({"a": "ü"}) == "fd621823002706e24604cb868a9f4f8850d6f01fb5040d49ba050482e1472437"
    canonical = '{"a":[1,null],"b":{"c":true,"d":"ü"}}'.encode()
    assert hash_of({"b": {"d": "ü", "c": True}, "a": [1, None]}) == hashlib.sha256(canonical).hexdigest()


def test_every_field_counts() -> None:
    record, _ = chained(ENTRY, genesis("banking_api"))
    for name in record:
        if name != "hash":
            assert hash_of({**record, name: "other"}) != record["hash"], name
            assert hash_of({key: value for key, value in record.items() if key != name}) != record["hash"]
    assert hash_of({**record, "more": None}) != record["hash"]


def test_no_chain_passes_for_another() -> None:
    assert genesis("user_api") != genesis("banking_api")
    assert genesis("user_api").count == 0


def test_the_servers_shell_is_named_without_an_id() -> None:
    assert SHELL.person() == {"user_id": None, "display_name": "the server's shell", "role": None}


def test_a_stranger_is_known_by_the_request_alone() -> None:
    assert stranger(Origin(address="192.0.2.7", request_id="trace-7")) == Actor(
        user_id=None,
        display_name="not signed in",
        role=None,
        address="192.0.2.7",
        request_id="trace-7",
    )


def test_what_is_no_json_has_no_hash() -> None:
    for value in (float("nan"), object(), b"bytes"):
        with pytest.raises((TypeError, ValueError)):
            hash_of({"a": value})
