"""What may become of an account, and what its state does not allow."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from daemons.banking_api.kinds.change import ChangeOfAccount, account_after, account_not_found
from daemons.banking_api.kinds.close import Close
from daemons.banking_api.kinds.describe import ChangeType, Rename
from daemons.banking_api.kinds.freeze import Freeze, Unfreeze
from daemons.banking_api.kinds.opening import Opening
from daemons.banking_api.ledger.account import Account, Terms, untouched
from daemons.banking_api.ledger.decide import GroupDecision, decide_group
from daemons.banking_api.ledger.record import Command, Outcome
from daemons.contracts.errors import BankError
from daemons.contracts.names import AccountStatus, AccountType

OWNER, OPERATOR = UUID(int=1), UUID(int=2)
NUMBER = "1000000009"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACTIVE = Terms(OWNER, AccountType.CHECKING, AccountStatus.ACTIVE, "EUR", opened_at=NOW)
FROZEN = ACTIVE._replace(status=AccountStatus.FROZEN, status_reason="court order 7")
CLOSED = ACTIVE._replace(status=AccountStatus.CLOSED)
BY: dict[str, Any] = {"idempotency_key": "k", "account_id": NUMBER}


def decide(command: Command, *accounts: Account) -> GroupDecision:
    return decide_group([command], accounts={it.id: it for it in accounts}, stored={}, now=NOW)


def after(command: ChangeOfAccount, terms: Terms, balance: int = 0) -> Account | str:
    """The account after the change, or the code of the refusal, of which nothing is kept."""
    decision = decide(command, Account(NUMBER, terms, balance, 4))
    [answer] = decision.answers
    if isinstance(answer, BankError):
        assert (decision.records, decision.changed) == ([], {})
        return answer.code
    assert decision.new_terms == {NUMBER}
    [record] = decision.records
    # What its initiator is told needs no other read.
    assert account_after(record) == decision.changed[NUMBER]
    return decision.changed[NUMBER]


def freeze(reason: str = "fraud check", by: UUID = OPERATOR) -> Freeze:
    return Freeze(initiator=by, reason=reason, **BY)


def unfreeze(reason: str = "cleared", by: UUID = OPERATOR, as_of: int | None = None) -> Unfreeze:
    return Unfreeze(initiator=by, reason=reason, as_of=as_of, **BY)


def close(reason: str | None = None) -> Close:
    return Close(initiator=OWNER, scope=OWNER, reason=reason, **BY)


def change_type(scope: UUID | None = OWNER) -> ChangeType:
    return ChangeType(initiator=OWNER, scope=scope, new_type=AccountType.SAVINGS, **BY)


@pytest.mark.parametrize(
    ("command", "before", "expected"),
    [
        (freeze(), ACTIVE, FROZEN._replace(status_reason="fraud check")),
        (unfreeze(), FROZEN, ACTIVE._replace(status_reason="cleared")),
        (unfreeze(as_of=4), FROZEN, ACTIVE._replace(status_reason="cleared")),
        (close(), ACTIVE, CLOSED),
        (close("moved abroad"), ACTIVE, CLOSED._replace(status_reason="moved abroad")),
        (change_type(), ACTIVE, ACTIVE._replace(type=AccountType.SAVINGS)),
        (change_type(scope=None), FROZEN, FROZEN._replace(type=AccountType.SAVINGS)),
        (Rename(initiator=OWNER, name="rent", **BY), ACTIVE, ACTIVE._replace(name="rent")),
    ],
)
def test_a_change_makes_of_the_terms_what_it_says_and_takes_a_number(
    command: ChangeOfAccount, before: Terms, expected: Terms
) -> None:
    assert after(command, before) == Account(NUMBER, expected, 0, 5)


def test_freezing_keeps_the_money() -> None:
    frozen = after(freeze(), ACTIVE, balance=500)
    assert isinstance(frozen, Account)
    assert frozen.balance_minor == 500


@pytest.mark.parametrize(
    ("command", "terms", "balance", "code"),
    [
        (freeze(), FROZEN, 0, "account_already_frozen"),
        (freeze(by=OWNER), ACTIVE, 0, "own_account"),
        (unfreeze(), ACTIVE, 0, "account_not_frozen"),
        (unfreeze(by=OWNER), FROZEN, 0, "own_account"),
        (unfreeze(as_of=3), FROZEN, 0, "approval_outdated"),
        (close(), ACTIVE, 1, "account_not_empty"),
        (close(), FROZEN, 0, "account_already_frozen"),
        (close(), CLOSED, 0, "account_already_closed"),
        (freeze(), CLOSED, 0, "account_already_closed"),
        (unfreeze(), CLOSED, 0, "account_already_closed"),
        (change_type(), CLOSED, 0, "account_already_closed"),
        (change_type(scope=OPERATOR), ACTIVE, 0, "account_not_found"),
    ],
)
def test_what_the_state_does_not_allow_is_refused(
    command: ChangeOfAccount, terms: Terms, balance: int, code: str
) -> None:
    assert after(command, terms, balance) == code


def test_the_banks_own_accounts_are_nobodys_to_change() -> None:
    own = untouched("settlement:EUR")
    assert own is not None
    command = Freeze(initiator=OPERATOR, idempotency_key="k", account_id=own.id, reason="x")
    [answer] = decide(command, own).answers
    assert isinstance(answer, BankError)
    assert answer.code == "account_not_found"


def test_an_account_that_is_not_found_names_what_was_asked_for() -> None:
    error = account_not_found(NUMBER)
    assert (error.code, error.message) == ("account_not_found", f"You have no account {NUMBER}.")


def opening(*, numbers: tuple[str, ...] = ("8", "9"), most: int | None = 2, key: str = "k") -> Opening:
    return Opening(
        initiator=OWNER,
        idempotency_key=key,
        numbers=numbers,
        type=AccountType.CHECKING,
        currency="EUR",
        name="rent",
        most_per_user=most,
        opened_at=NOW,
    )


def test_an_account_is_opened_under_the_first_free_number_and_its_opening_is_number_0() -> None:
    opened = untouched(opening().accounts()[-1])
    assert opened is not None
    decision = decide(opening(), Account("8", ACTIVE, 0, 0), opened)
    assert decision.changed["9"] == Account("9", ACTIVE._replace(name="rent"), 0, 0)
    assert decision.records[0].data["account"] == "9"
    assert account_after(decision.records[0]) == decision.changed["9"]


def test_a_user_has_no_more_accounts_than_the_limit() -> None:
    opened = untouched(opening().accounts()[-1])
    assert opened is not None
    commands = [opening(numbers=(str(number),), key=str(number)) for number in range(3)]
    decision = decide_group(commands, accounts={opened.id: opened}, stored={}, now=NOW)
    assert [isinstance(answer, Outcome) for answer in decision.answers] == [True, True, False]
    refused = decision.answers[2]
    assert isinstance(refused, BankError)
    assert refused.code == "account_limit_reached"


def test_an_opening_without_a_free_number_may_be_tried_again() -> None:
    opened = untouched(opening().accounts()[-1])
    assert opened is not None
    [answer] = decide(opening(numbers=("8",)), Account("8", ACTIVE, 0, 0), opened).answers
    assert isinstance(answer, BankError)
    assert answer.category.value == "transient"
