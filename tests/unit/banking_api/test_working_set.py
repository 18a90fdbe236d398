"""What a process remembers of accounts: copies, and the latest used."""

from uuid import UUID

from daemons.banking_api.domain.account import AccountStatus
from daemons.banking_api.domain.decision import LedgerAccount
from daemons.banking_api.storage.working_set import WorkingSet

OWNER = UUID(int=1)


def account(id_: str, *, balance: int = 0, sequence: int = 1) -> LedgerAccount:
    return LedgerAccount(id_, OWNER, AccountStatus.ACTIVE, "EUR", balance, sequence, may_overdraw=False)


def kept(working_set: WorkingSet, *ids: str) -> set[str]:
    return set(working_set.known(ids))


def test_what_is_known_is_a_copy() -> None:
    working_set = WorkingSet()
    working_set.keep([account("A", balance=5)])
    known = working_set.known(["A", "B"])
    assert set(known) == {"A"}
    # A group that is never committed must leave nothing behind.
    known["A"].balance_minor = 99
    known["A"].sequence += 1
    assert working_set.known(["A"])["A"] == account("A", balance=5)


def test_a_later_state_replaces_an_earlier_one() -> None:
    working_set = WorkingSet()
    working_set.keep([account("A", sequence=1)])
    working_set.keep([account("A", sequence=2)])
    assert working_set.known(["A"])["A"].sequence == 2
    assert [found.sequence for found in working_set.empty()] == [2]


def test_the_longest_unchanged_make_room() -> None:
    working_set = WorkingSet(limit=3)
    assert working_set.keep([account("A"), account("B"), account("C")]) == []
    # A is used again, so B is the longest unchanged.
    assert working_set.keep([account("A", sequence=2)]) == []
    assert [found.id for found in working_set.keep([account("D"), account("E")])] == ["B", "C"]
    assert kept(working_set, "A", "B", "C", "D", "E") == {"A", "D", "E"}


def test_a_group_larger_than_the_limit_is_pushed_out_at_once() -> None:
    working_set = WorkingSet(limit=2)
    pushed_out = working_set.keep([account(name) for name in "ABCDE"])
    assert [found.id for found in pushed_out] == ["A", "B", "C"]
    assert kept(working_set, *"ABCDE") == {"D", "E"}


def test_emptied_it_knows_nothing() -> None:
    working_set = WorkingSet()
    working_set.keep([account("A"), account("B")])
    assert {found.id for found in working_set.empty()} == {"A", "B"}
    assert kept(working_set, "A", "B") == set()
    assert working_set.empty() == []


def test_a_forgotten_account_is_not_known() -> None:
    working_set = WorkingSet()
    working_set.keep([account("A"), account("B")])
    working_set.forget("A")
    working_set.forget("C")
    assert kept(working_set, "A", "B", "C") == {"B"}
    assert len(working_set) == 1
