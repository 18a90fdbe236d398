"""What a process remembers of accounts: copies, and the latest used."""

from uuid import UUID

from daemons.banking_api.domain.account import AccountStatus
from daemons.banking_api.domain.decision import LedgerAccount
from daemons.banking_api.storage.ledger_turns import NotedAccount
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
    assert [found.sequence for found in working_set.unwritten()] == [2]


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


def test_what_was_only_read_need_not_be_written_down() -> None:
    working_set = WorkingSet(limit=2)
    working_set.get_to_know([account("A"), account("B"), account("C")])
    assert kept(working_set, *"ABC") == {"A", "B"}
    assert working_set.keep([account("B", sequence=2), account("D")]) == []
    assert len(working_set) == 2
    assert [found.id for found in working_set.keep([account("E")])] == ["B"]
    assert {found.id for found in working_set.unwritten()} == {"D", "E"}
    # Once is enough.
    assert working_set.unwritten() == []
    assert working_set.keep([account("F")]) == []


def test_what_others_have_noted_replaces_what_is_older() -> None:
    working_set = WorkingSet(limit=2)
    working_set.keep([account("A", sequence=5)])
    for sequence in (4, 6, 5):
        working_set.heed(NotedAccount("A", AccountStatus.FROZEN, sequence * 10, sequence))
    [known] = working_set.known(["A"]).values()
    assert (known.status, known.balance_minor, known.sequence) == (AccountStatus.FROZEN, 60, 6)


def test_what_is_noted_of_accounts_not_kept_corrects_them_once_they_are_read() -> None:
    working_set = WorkingSet(limit=2)
    for number, id_ in enumerate("ABC"):
        working_set.heed(NotedAccount(id_, AccountStatus.ACTIVE, 70, 7 + number))
    read = {
        id_: account(id_, balance=1, sequence=sequence) for id_, sequence in (("A", 1), ("B", 7), ("C", 9))
    }
    for found in read.values():
        working_set.correct(found)
    # There is room for two; of those only one note is newer than what was read.
    assert {id_: found.balance_minor for id_, found in read.items()} == {"A": 1, "B": 70, "C": 1}


def test_it_can_forget_everything() -> None:
    working_set = WorkingSet()
    working_set.keep([account("A"), account("B")])
    working_set.heed(NotedAccount("C", AccountStatus.ACTIVE, 70, 7))
    working_set.forget_all()
    assert kept(working_set, "A", "B") == set()
    assert working_set.unwritten() == []
    working_set.correct(read := account("C"))
    assert read == account("C")


def test_a_forgotten_account_is_not_known() -> None:
    working_set = WorkingSet()
    working_set.keep([account("A"), account("B")])
    working_set.forget("A")
    working_set.forget("C")
    assert kept(working_set, "A", "B", "C") == {"B"}
    assert len(working_set) == 1
