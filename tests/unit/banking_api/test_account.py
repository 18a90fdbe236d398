from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from daemons.banking_api.domain import account as rules
from daemons.banking_api.domain.account import Account, AccountStatus, AccountType

from daemons.contracts.errors import ConflictError

ACTIVE = Account(
    id="1000000009",
    owner=UUID(int=1),
    name=None,
    type=AccountType.CHECKING,
    status=AccountStatus.ACTIVE,
    status_reason=None,
    currency="EUR",
    balance_minor=0,
    sequence=0,
    opened_at=datetime(2026, 1, 1, tzinfo=UTC),
)
FROZEN = replace(ACTIVE, status=AccountStatus.FROZEN, status_reason="court order 7")
CLOSED = replace(ACTIVE, status=AccountStatus.CLOSED)


def test_freezing_keeps_the_reason_and_the_money() -> None:
    rich = replace(ACTIVE, balance_minor=500)
    assert rules.freeze(rich, "fraud check") == replace(
        rich, status=AccountStatus.FROZEN, status_reason="fraud check"
    )


def test_unfreezing_makes_it_active_and_keeps_the_reason() -> None:
    assert rules.unfreeze(FROZEN, "cleared") == replace(ACTIVE, status_reason="cleared")


def test_an_empty_account_can_be_closed_with_a_reason_or_without() -> None:
    assert rules.close(ACTIVE, None) == CLOSED
    assert rules.close(ACTIVE, "moved abroad") == replace(CLOSED, status_reason="moved abroad")


def test_an_account_that_is_not_found_names_what_was_asked_for() -> None:
    error = rules.account_not_found("1000000009")
    assert (error.code, error.message) == ("account_not_found", "You have no account 1000000009.")


def test_a_type_is_changed_and_nothing_else() -> None:
    assert rules.change_type(ACTIVE, AccountType.SAVINGS) == replace(ACTIVE, type=AccountType.SAVINGS)


@pytest.mark.parametrize(
    ("act", "code"),
    [
        (lambda: rules.freeze(FROZEN, "again"), "account_already_frozen"),
        (lambda: rules.unfreeze(ACTIVE, "why"), "account_not_frozen"),
        (lambda: rules.close(replace(ACTIVE, balance_minor=1), None), "account_not_empty"),
        (lambda: rules.close(FROZEN, None), "account_already_frozen"),
        (lambda: rules.close(CLOSED, None), "account_already_closed"),
        (lambda: rules.freeze(CLOSED, "x"), "account_already_closed"),
        (lambda: rules.unfreeze(CLOSED, "x"), "account_already_closed"),
        (lambda: rules.change_type(CLOSED, AccountType.SAVINGS), "account_already_closed"),
    ],
)
def test_what_the_state_does_not_allow_is_refused(act: object, code: str) -> None:
    with pytest.raises(ConflictError) as refused:
        act()  # type: ignore[operator]
    assert refused.value.code == code
