"""Groups take what waits in its order; only what touches a reserved account is held back."""

import asyncio
from collections import defaultdict
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.domain.journal import PostingCommand, TransactionKind
from daemons.banking_api.services.gathering import GROUP_LIMIT, OVERLAP_FROM, Gathering, Group, Waiting
from daemons.banking_api.services.succession import Batch

LANES = 4


def waiting(
    number: int,
    sender: str = "A",
    receiver: str = "B",
    batch: Batch | None = None,
    *,
    atomic_size: int = 0,
) -> Waiting:
    command = PostingCommand(
        kind=TransactionKind.TRANSFER,
        initiator=UUID(int=1),
        sender_owner=UUID(int=1),
        idempotency_key=str(number),
        from_account=sender,
        to_account=receiver,
        amount_minor=1,
        currency="EUR",
        reference=None,
    )
    loop = asyncio.new_event_loop()
    try:
        return Waiting(command, loop.create_future(), batch, atomic_size)
    finally:
        loop.close()


def keys(group: Group | None) -> list[str]:
    return [] if group is None else [member.command.idempotency_key for member in group.members]


def test_a_lone_command_goes_at_once() -> None:
    gathering = Gathering()
    assert gathering.begin(at_once=LANES) is None
    gathering.add(waiting(1))
    assert keys(gathering.begin(at_once=LANES)) == ["1"]


def test_what_waits_and_what_is_held_back_is_counted_together() -> None:
    gathering = Gathering()
    gathering.reserve("A")
    gathering.add(waiting(1))
    gathering.add(waiting(2, "C", "D"))
    gathering.begin(at_once=LANES)
    gathering.add(waiting(3, "C", "D"))
    assert len(gathering) == 2


def test_a_group_touches_both_sides_of_its_commands_and_no_others() -> None:
    group = Group([waiting(1, "A", "B"), waiting(2, "C", "D")])
    assert [group.touches(account) for account in "ABCDE"] == [True, True, True, True, False]


def test_what_waits_goes_in_groups_beside_the_running_one_once_enough_wait() -> None:
    gathering = Gathering()
    gathering.add(waiting(0))
    first = gathering.begin(at_once=LANES)
    for number in range(1, OVERLAP_FROM):
        gathering.add(waiting(number))
    assert first is not None
    assert gathering.begin(at_once=LANES) is None
    gathering.add(waiting(OVERLAP_FROM))
    second = gathering.begin(at_once=LANES)
    assert keys(second) == [str(number) for number in range(1, OVERLAP_FROM + 1)]
    for number in range(GROUP_LIMIT + 200):
        gathering.add(waiting(number))
    assert keys(gathering.begin(at_once=LANES)) == [str(number) for number in range(GROUP_LIMIT)]


def test_no_more_groups_run_than_may() -> None:
    gathering = Gathering()
    running = []
    for number in range(2):
        for _ in range(OVERLAP_FROM):
            gathering.add(waiting(number))
        running.append(gathering.begin(at_once=2))
    for _ in range(GROUP_LIMIT):
        gathering.add(waiting(2))
    assert gathering.begin(at_once=2) is None
    assert running[0] is not None
    gathering.end(running[0])
    assert len(keys(gathering.begin(at_once=2))) == GROUP_LIMIT


def test_what_arrives_before_a_group_is_decided_may_join_it() -> None:
    gathering = Gathering()
    gathering.add(waiting(0, "a", "b"))
    group = gathering.begin(at_once=1)
    reserved = gathering.reserve("x")
    for number, pair in enumerate([("a", "c"), ("x", "d"), ("d", "e"), ("f", "g")], start=1):
        gathering.add(waiting(number, *pair))
    assert group is not None
    gathering.extend(group)
    assert keys(group) == ["0", "1", "4"]
    gathering.add(waiting(5, "a", "b"))
    assert gathering.begin(at_once=1) is None
    gathering.end(group)
    gathering.release(reserved)
    assert keys(gathering.begin(at_once=1)) == ["2", "3", "5"]


def test_nothing_joins_a_group_past_another_that_runs() -> None:
    gathering = Gathering()
    gathering.add(waiting(0))
    first = gathering.begin(at_once=2)
    for number in range(1, OVERLAP_FROM + 1):
        gathering.add(waiting(number))
    second = gathering.begin(at_once=2)
    gathering.add(waiting(100))
    assert first is not None
    gathering.extend(first)
    assert keys(first) == ["0"]
    gathering.end(first)
    assert second is not None
    gathering.extend(second)
    assert keys(second)[-1] == "100"


def test_a_reserved_accounts_commands_wait_and_come_in_their_order() -> None:
    gathering = Gathering()
    gathering.add(waiting(0, "a", "b"))
    first, one, other = gathering.begin(at_once=LANES), gathering.reserve("a"), gathering.reserve("a")
    assert keys(first) == ["0"]
    assert first is not None
    gathering.end(first)
    for number, pair in enumerate([("a", "c"), ("c", "d"), ("x", "y")], start=1):
        gathering.add(waiting(number, *pair))
    second = gathering.begin(at_once=LANES)
    # Not the second, for it comes behind the first on account c.
    assert keys(second) == ["3"]
    assert second is not None
    gathering.end(second)
    gathering.release(one)
    assert gathering.begin(at_once=LANES) is None
    gathering.release(other)
    assert keys(gathering.begin(at_once=LANES)) == ["1", "2"]


def test_a_batch_is_held_with_the_one_that_it_follows_whatever_it_touches() -> None:
    gathering = Gathering()
    reserved = gathering.reserve("a")
    first, other = Batch(), Batch()
    second = Batch(Batch(first))
    orders = [("a", "b", first), ("c", "d", first), ("e", "f", second), ("g", "h", other), ("i", "j", None)]
    for number, (sender, receiver, batch) in enumerate(orders):
        gathering.add(waiting(number, sender, receiver, batch))
    group = gathering.begin(at_once=LANES)
    assert keys(group) == ["1", "3", "4"]
    assert group is not None
    gathering.end(group)
    gathering.release(reserved)
    assert keys(gathering.begin(at_once=LANES)) == ["0", "2"]


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from("ABCDEFGH"), st.sampled_from("ABCDEFGH")),
            st.integers(0, LANES),
        ),
        max_size=400,
    )
)
def test_accounts_keep_their_order_also_where_they_are_reserved(  # noqa: C901 - the model with its checks
    steps: list[tuple[str, str] | int],
) -> None:
    gathering = Gathering()
    running: list[Group] = []
    arrived: dict[str, list[int]] = defaultdict(list)
    begun: dict[str, list[int]] = defaultdict(list)
    reserved = [gathering.reserve(account) for account in "ABC"]
    number = 0

    def begin() -> None:
        group = gathering.begin(at_once=LANES)
        if group is not None:
            for member in group.members:
                for account in {member.command.from_account, member.command.to_account}:
                    assert account not in {reservation.account for reservation in reserved}
                    begun[account].append(int(member.command.idempotency_key))
            running.append(group)
            assert len(running) <= LANES

    for step in steps:
        if isinstance(step, tuple):
            gathering.add(waiting(number, *step))
            for account in set(step):
                arrived[account].append(number)
            number += 1
            begin()
        elif step < len(running):
            gathering.end(running.pop(step))
            begin()
        elif reserved:
            gathering.release(reserved.pop())
            begin()
    while reserved:
        gathering.release(reserved.pop())
    begin()
    while running:
        gathering.end(running.pop())
        begin()
    assert gathering.idle
    assert begun == arrived


def test_an_atomic_batch_is_a_group_of_its_own_however_long_it_is() -> None:
    gathering = Gathering()
    gathering.add(waiting(0))
    size = GROUP_LIMIT + 10
    for number in range(1, size + 1):
        gathering.add(waiting(number, atomic_size=size if number == 1 else 0))
    gathering.add(waiting(size + 1))
    groups = []
    while (group := gathering.begin(at_once=LANES)) is not None:
        groups.append(group)
        gathering.end(group)
    assert [(group.atomic, len(group.members)) for group in groups] == [(False, 1), (True, size), (False, 1)]
    assert [key for group in groups for key in keys(group)] == [str(number) for number in range(size + 2)]


def test_nothing_joins_an_atomic_batch() -> None:
    gathering = Gathering()
    gathering.add(waiting(0, atomic_size=2))
    gathering.add(waiting(1))
    group = gathering.begin(at_once=1)
    assert group is not None
    gathering.add(waiting(2))
    gathering.extend(group)
    assert keys(group) == ["0", "1"]


def test_an_atomic_batch_waits_whole_for_the_account_of_one_of_its_rows() -> None:
    gathering = Gathering()
    reservation = gathering.reserve("frozen")
    gathering.add(waiting(0, "a", "b", atomic_size=3))
    gathering.add(waiting(1, "c", "frozen"))
    gathering.add(waiting(2, "d", "e"))
    gathering.add(waiting(3, "x", "y"))
    gathering.add(waiting(4, "x", "d"))
    group = gathering.begin(at_once=LANES)
    assert group is not None
    assert keys(group) == ["3"]
    gathering.end(group)
    assert gathering.begin(at_once=LANES) is None
    gathering.release(reservation)
    group = gathering.begin(at_once=LANES)
    assert group is not None
    assert keys(group) == ["0", "1", "2"]
    gathering.end(group)
    assert keys(gathering.begin(at_once=LANES)) == ["4"]


def test_others_overlap_a_long_atomic_batch_in_groups_that_may_exist() -> None:
    gathering = Gathering()
    for number in range(4 * GROUP_LIMIT):
        gathering.add(waiting(number, atomic_size=0 if number else 4 * GROUP_LIMIT))
    assert len(keys(gathering.begin(at_once=LANES))) == 4 * GROUP_LIMIT
    for number in range(GROUP_LIMIT):
        assert gathering.begin(at_once=LANES) is None
        gathering.add(waiting(number))
    assert len(keys(gathering.begin(at_once=LANES))) == GROUP_LIMIT
