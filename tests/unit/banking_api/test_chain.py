"""The chain of seals: it holds for what the ledger writes, and names whatever was done to it afterwards."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.books.chain import ChainCheck, SignedRoot
from daemons.banking_api.ledger.seal import GENESIS, Seal, leaf_of, seal

NOW = datetime(2026, 11, 30, tzinfo=UTC)
sizes = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@dataclass
class Chain:
    """A journal: records by id, and groups of them that are sealed."""

    records: dict[UUID, bytes]
    seals: list[tuple[Seal, list[UUID]]]

    def problems(self) -> list[str]:
        """What a check finds that reads it as a proof does."""
        found: list[str] = []
        check = ChainCheck(lambda id_, problem: found.append(f"{id_}: {problem}"))
        waiting = list(self.seals)
        for id_ in sorted(self.records):
            check.add(id_, leaf_of(self.records[id_]))
            while waiting and check.is_due(waiting[0][1]):
                check.check(*waiting.pop(0))
        for sealed in waiting:
            check.check(*sealed)
        check.end()
        return found


def chain_of(group_sizes: list[int]) -> Chain:
    records: dict[UUID, bytes] = {}
    seals: list[tuple[Seal, list[UUID]]] = []
    head = GENESIS
    for size in group_sizes:
        ids = [UUID(int=len(records) + place + 1) for place in range(size)]
        records |= {id_: b"record " + id_.bytes for id_ in ids}
        sealed = seal([records[id_] for id_ in ids], head, at=NOW)
        seals.append((sealed, ids))
        head = head.sealed(sealed)
    return Chain(records, seals)


@given(sizes)
def test_what_the_ledger_writes_holds(group_sizes: list[int]) -> None:
    assert chain_of(group_sizes).problems() == []


@given(sizes, st.randoms(use_true_random=False))
def test_groups_whose_records_are_mixed_in_time_hold(group_sizes: list[int], random: object) -> None:
    """Commands draw their ids as they come, and groups are sealed later: neighbours may overlap."""
    chain = chain_of(group_sizes)
    ids = sorted(chain.records)
    shuffle: Callable[[list[UUID]], None] = random.shuffle  # type: ignore[attr-defined]
    shuffle(ids)
    records: dict[UUID, bytes] = {}
    seals: list[tuple[Seal, list[UUID]]] = []
    head = GENESIS
    for size in group_sizes:
        taken, ids = ids[:size], ids[size:]
        records |= {id_: b"record " + id_.bytes for id_ in taken}
        sealed = seal([records[id_] for id_ in taken], head, at=NOW)
        seals.append((sealed, taken))
        head = head.sealed(sealed)
    assert Chain(records, seals).problems() == []


@given(sizes, st.data())
def test_a_changed_record_is_named(group_sizes: list[int], data: st.DataObject) -> None:
    chain = chain_of(group_sizes)
    id_ = data.draw(st.sampled_from(sorted(chain.records)))
    chain.records[id_] += b"!"
    [problem] = chain.problems()
    assert str(id_) in problem
    assert "was changed" in problem


@given(sizes, st.data())
def test_a_removed_record_is_named(group_sizes: list[int], data: st.DataObject) -> None:
    chain = chain_of(group_sizes)
    id_ = data.draw(st.sampled_from(sorted(chain.records)))
    del chain.records[id_]
    [problem] = chain.problems()
    assert problem.startswith(f"{id_}: is sealed by seal ")
    assert problem.endswith("and missing")


@given(sizes, st.integers(1, 10**6))
def test_an_added_record_is_named(group_sizes: list[int], number: int) -> None:
    chain = chain_of(group_sizes)
    added = UUID(int=number << 64)
    chain.records[added] = b"a funding that nobody booked"
    assert chain.problems() == [f"{added}: is in the journal and in no seal"]


@given(st.lists(st.integers(1, 9), min_size=3, max_size=12), st.data())
def test_a_removed_seal_is_named_with_what_it_sealed(group_sizes: list[int], data: st.DataObject) -> None:
    chain = chain_of(group_sizes)
    place = data.draw(st.integers(0, len(chain.seals) - 2))
    removed, ids = chain.seals.pop(place)
    problems = chain.problems()
    assert f"seal {removed.number + 1}: follows seal {place}: what was between is missing" in problems
    assert {f"{id_}: is in the journal and in no seal" for id_ in ids} < set(problems)


@pytest.mark.parametrize(
    "change",
    [
        {"previous": b"x" * 32},
        {"root": b"x" * 32},
        {"records": 99},
        {"at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"hash": b"x" * 32},
        {"nodes": b"x" * 32},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_changed_seal_is_named(change: dict[str, object], place: int) -> None:
    chain = chain_of([2, 3, 2])
    sealed, ids = chain.seals[place]
    chain.seals[place] = sealed._replace(**change), ids  # type: ignore[arg-type]
    assert any(problem.startswith(f"seal {place + 1}: ") for problem in chain.problems())


def test_a_record_moved_into_another_group_is_named() -> None:
    chain = chain_of([2, 2])
    (first, ids), (second, others) = chain.seals
    chain.seals = [(first, ids[:1]), (second, [*others, ids[1]])]
    assert len(chain.problems()) == 4


def test_a_group_whose_records_are_reordered_is_named() -> None:
    chain = chain_of([3])
    [(sealed, ids)] = chain.seals
    chain.seals = [(sealed, ids[::-1])]
    [problem] = chain.problems()
    assert "one of its 3 records" in problem


def test_a_group_rewritten_with_its_seal_does_not_fit_the_next_one() -> None:
    chain = chain_of([1, 1, 1])
    (first, _), (second, [id_]), _ = chain.seals
    chain.records[id_] = b"rewritten"
    chain.seals[1] = seal([b"rewritten"], GENESIS.sealed(first), at=second.at), [id_]
    assert chain.problems() == ["seal 3: does not follow the seal before it: one of the two was changed"]


def test_many_records_of_a_group_are_not_all_listed() -> None:
    chain = chain_of([500])
    chain.records[UUID(int=3)] = b"changed"
    [problem] = chain.problems()
    assert "and so on" in problem
    assert len(problem) < 1500


def test_the_chain_checked_can_be_kept_and_gone_on_from() -> None:
    chain = chain_of([2, 3])
    check = ChainCheck(lambda id_, problem: pytest.fail(f"{id_}: {problem}"))
    for id_ in sorted(chain.records):
        check.add(id_, leaf_of(chain.records[id_]))
    for sealed in chain.seals:
        check.check(*sealed)
    head = GENESIS
    for sealed, _ in chain.seals:
        head = head.sealed(sealed)
    assert check.head == head
    assert replace(chain, seals=[]).problems() != []


def roots(chain: Chain) -> list[SignedRoot]:
    head, found = GENESIS, []
    for sealed, _ in chain.seals:
        head = head.sealed(sealed)
        found.append(SignedRoot(f"checkpoint {head.number}", head.number, head.root))
    return found


def checked(chain: Chain, signed: list[SignedRoot]) -> list[str]:
    found: list[str] = []
    check = ChainCheck(lambda id_, problem: found.append(f"{id_}: {problem}"), signed)
    for id_ in sorted(chain.records):
        check.add(id_, leaf_of(chain.records[id_]))
    for sealed in chain.seals:
        check.check(*sealed)
    check.end()
    return found


@given(sizes)
def test_what_was_signed_of_a_journal_holds_for_it(group_sizes: list[int]) -> None:
    chain = chain_of(group_sizes)
    assert checked(chain, roots(chain)) == []


@given(st.lists(st.integers(1, 9), min_size=2, max_size=12), st.data())
def test_a_journal_rewritten_whole_is_not_the_one_that_was_signed(
    group_sizes: list[int], data: st.DataObject
) -> None:
    chain = chain_of(group_sizes)
    signed = roots(chain)
    place = data.draw(st.integers(0, len(group_sizes) - 1))
    changed = chain.seals[place][1][0]
    head, seals = GENESIS, []
    chain.records[changed] = b"a funding that nobody booked"
    for sealed, ids in chain.seals:
        seals.append((seal([chain.records[id_] for id_ in ids], head, at=sealed.at), ids))
        head = head.sealed(seals[-1][0])
    rewritten = Chain(chain.records, seals)
    # The chain holds in itself, and only what was signed tells.
    assert rewritten.problems() == []
    problem = "was signed of another journal: what it covers was rewritten"
    assert checked(rewritten, signed) == [f"{one.name}: {problem}" for one in signed[place:]]


def test_a_journal_that_was_cut_is_shorter_than_what_was_signed() -> None:
    chain = chain_of([2, 1, 1])
    signed = roots(chain)
    _, ids = chain.seals.pop()
    del chain.records[ids[0]]
    assert checked(chain, signed) == ["checkpoint 3: covers 3 seals, the journal has 2"]
