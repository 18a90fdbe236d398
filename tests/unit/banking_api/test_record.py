"""What a command is known by, and what its initiator is told of a failure."""

from dataclasses import replace
from uuid import UUID

import pytest

from daemons.banking_api.kinds.adjustment import Adjustment
from daemons.banking_api.kinds.funding import Funding
from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.account import (
    Account,
    Terms,
    adjustment_account,
    is_banks_account,
    settlement_account,
    untouched,
)
from daemons.banking_api.ledger.record import Command, Failure, key_reused, refusal
from daemons.contracts.errors import NotFoundError, RejectedError
from daemons.contracts.names import AccountStatus, Direction

COMMAND = Transfer(
    initiator=UUID(int=1),
    idempotency_key="k",
    from_account="A",
    to_account="B",
    amount_minor=10,
    currency="EUR",
    reference=None,
)


def other(**changed: object) -> Transfer:
    return replace(COMMAND, **changed)  # type: ignore[arg-type]


def test_each_thing_that_is_asked_for_is_part_of_the_fingerprint() -> None:
    by = {"initiator": UUID(int=1), "idempotency_key": "k", "amount_minor": 10, "currency": "EUR"}
    corrected: dict[str, object] = {**by, "account_id": "A", "reason": "r", "corrects": None}
    requests: list[Command] = [
        COMMAND,
        Funding(to_account="B", reference=None, **by),  # type: ignore[arg-type]
        Funding(to_account="B", reference="", **by),  # type: ignore[arg-type]
        *(
            Adjustment(**{**corrected, "direction": Direction.DEBIT, **changed})  # type: ignore[arg-type]
            for changed in (
                {},
                {"direction": Direction.CREDIT},
                {"corrects": UUID(int=7)},
                {"corrects": UUID(int=8)},
                {"reason": f"{UUID(int=7)}"},
            )
        ),
        other(from_account="C"),
        other(to_account="C"),
        other(amount_minor=11),
        other(currency="USD"),
        other(reference=""),
        other(reference="rent"),
        other(reference="XXXX"),
        # Fields that only differ in where one ends and the next begins.
        other(from_account="A\x00B", to_account=""),
        other(reference="=rent"),
    ]
    assert len({request.fingerprint for request in requests}) == len(requests)


def test_who_asks_and_under_which_key_is_no_part_of_it() -> None:
    same = other(initiator=UUID(int=2), idempotency_key="other")
    assert same.fingerprint == COMMAND.fingerprint


def test_a_key_belongs_to_its_initiator() -> None:
    ids = {COMMAND.idempotency_id, other(initiator=UUID(int=2)).idempotency_id}
    ids.add(other(idempotency_key="l").idempotency_id)
    assert len(ids) == 3
    assert other(amount_minor=11).idempotency_id == COMMAND.idempotency_id


def test_both_have_sixteen_bytes_as_the_index_and_the_documents_expect() -> None:
    assert (len(COMMAND.idempotency_id), len(COMMAND.fingerprint)) == (16, 16)
    # Stored documents hold them: a changed recipe would pay every kept request once more.
    assert COMMAND.idempotency_id.hex() == "2ea6f34171d16d8c2d539a9c1d2c72bc"
    assert COMMAND.fingerprint.hex() == "0ded6c454f7d596e748df70bf94d1c71"


def test_the_banks_own_accounts_are_told_from_customers() -> None:
    assert settlement_account("EUR") == "settlement:EUR"
    assert adjustment_account("EUR") == "adjustment:EUR"
    assert is_banks_account(settlement_account("EUR"))
    assert is_banks_account(adjustment_account("EUR"))
    assert not is_banks_account("1000000009")


def test_the_banks_own_accounts_and_tallies_begin_at_nothing_without_being_opened() -> None:
    own = Terms(None, None, AccountStatus.ACTIVE, "EUR")
    assert untouched("settlement:EUR") == Account("settlement:EUR", own, 0, 0)
    assert untouched("adjustment:EUR") == Account("adjustment:EUR", own, 0, 0)
    assert untouched("tally:of:x") == Account("tally:of:x", own._replace(currency=""), 0, 0)
    assert untouched("1000000009") is None


@pytest.mark.parametrize(
    ("code", "kind"), [("account_not_found", NotFoundError), ("insufficient_funds", RejectedError)]
)
def test_a_refusal_tells_the_code_the_reason_and_the_kept_attempt(code: str, kind: type) -> None:
    error = refusal(Failure(code, "Why it was refused."), UUID(int=9))
    assert type(error) is kind
    assert (error.code, error.message) == (code, "Why it was refused.")
    assert error.details == {"transaction_id": str(UUID(int=9))}
    assert refusal(Failure(code, "no"), None).details == {}
    assert [refusal(Failure(code, "no"), None, replayed=said).replayed for said in (False, True)] == [
        False,
        True,
    ]
    assert not error.replayed


def test_a_key_that_was_used_for_another_request_is_refused_by_this_code() -> None:
    error = key_reused()
    assert (type(error), error.code, error.details) == (RejectedError, "idempotency_key_reused", {})
    assert error.message.startswith("This Idempotency-Key was used before for another request")
