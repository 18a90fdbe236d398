"""What is told of users: every change that others may know of, and no secret."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from daemons.contracts.events.user_changed import UserChanged
from daemons.contracts.events.user_registered import UserRegistered
from daemons.contracts.names import EventType
from daemons.contracts.permissions import Role
from daemons.shared.audit.record import SHELL, Actor, AuditEntry
from daemons.user_api.users.told import UserWrite, told_of
from daemons.user_api.users.user import User

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ANN = User(
    id=uuid4(),
    email="ann@example.com",
    display_name="Ann",
    role=Role.USER,
    locked=False,
    created_at=NOW,
    password_hash="$argon2id$secret",
)
OLGA = Actor(
    user_id=uuid4(), display_name="Olga", role="admin", address="127.0.0.1", request_id="a request of Olga's"
)


def entry(actor: Actor = OLGA) -> AuditEntry:
    return AuditEntry(
        at=NOW,
        actor=actor,
        action="act",
        target_kind="user",
        target_id=str(ANN.id),
        reason="a reason",
        before=None,
        after=None,
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"display_name": "Anna"}, ["display_name"]),
        ({"email": "anna@example.com"}, ["email"]),
        ({"role": Role.SUPPORT}, ["role"]),
        ({"locked": True}, ["status"]),
        ({"second_factor": True}, ["second_factor"]),
        ({"password_hash": "$argon2id$another secret"}, ["password"]),
        ({"role": Role.SUPPORT, "locked": True, "email": "a@example.com"}, ["email", "role", "status"]),
    ],
)
def test_a_change_is_told_with_how_the_user_is_now(change: dict[str, Any], told: list[str]) -> None:
    after = replace(ANN, version=2, **change)
    [event] = told_of([UserWrite(ANN, after)], [entry()])
    assert event is not None
    assert (event.type, event.key, event.time) == (EventType.USER_CHANGED, str(ANN.id), NOW)
    assert event.data == {
        "user_id": str(ANN.id),
        "display_name": after.display_name,
        "email": after.email,
        "role": after.role.value,
        "status": "locked" if after.locked else "active",
        "second_factor": after.second_factor,
        "version": 2,
        "occurred_at": "2026-01-02T03:04:05.000Z",
        "changes": told,
        "initiated_by": {"user_id": str(OLGA.user_id), "display_name": "Olga"},
    }
    UserChanged.model_validate(event.data)


def test_who_registers_is_told_without_a_secret() -> None:
    [event] = told_of([UserWrite(None, ANN)], [entry(SHELL)])
    assert event is not None
    assert event.type is EventType.USER_REGISTERED
    told = UserRegistered.model_validate(event.data)
    assert (told.email, told.role, told.status, told.version) == ("ann@example.com", "user", "active", 1)
    assert "argon2" not in str(event)


def test_nobody_signed_in_is_nobody_named() -> None:
    [event] = told_of([UserWrite(ANN, replace(ANN, locked=True))], [entry(SHELL)])
    assert event is not None
    assert event.data["initiated_by"] is None


def test_what_others_may_not_know_is_no_event() -> None:
    assert told_of([UserWrite(ANN, replace(ANN, version=2, rights_lost_at=NOW))], [entry()]) == []


def test_a_refused_registration_takes_a_place_but_tells_nothing() -> None:
    assert told_of([UserWrite(None, None)], [entry()]) == [None]


def test_a_change_that_the_audit_does_not_know_is_refused() -> None:
    with pytest.raises(RuntimeError, match="the audit does not say by whom"):
        told_of([UserWrite(ANN, replace(ANN, locked=True))], [])
