"""Groups that run side by side share no account, and every account's commands keep their order."""

import asyncio
from collections import defaultdict
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.domain.journal import PostingCommand, TransactionKind
from daemons.banking_api.services.gathering import GROUP_LIMIT, OVERLAP_FROM, Gathering, Group, Waiting

LANES = 4


def waiting(number: int, sender: str = "A", receiver: str = "B") -> Waiting:
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
        return Waiting(command, loop.create_future())
    finally:
        loop.close()


def keys(group: Group | None) -> list[str]:
    return [] if group is None else [member.command.idempotency_key for member in group.members]


def test_a_lone_command_goes_at_once() -> None:
    gathering = Gathering()
    assert gathering.begin(at_once=LANES) is None
    gathering.add(waiting(1))
    assert keys(gathering.begin(at_once=LANES)) == ["1"]


def test_a_hot_accounts_commands_wait_for_the_running_group_and_go_together() -> None:
    gathering = Gathering()
    gathering.add(waiting(0))
    first = gathering.begin(at_once=LANES)
    for number in range(1, GROUP_LIMIT + 200):
        gathering.add(waiting(number))
    assert first is not None
    assert gathering.begin(at_once=LANES) is None
    gathering.end(first)
    second = gathering.begin(at_once=LANES)
    assert keys(second) == [str(number) for number in range(1, GROUP_LIMIT + 1)]


def test_others_overtake_a_blocked_account_once_enough_wait() -> None:
    gathering = Gathering()
    gathering.add(waiting(0, "hot", "x"))
    first = gathering.begin(at_once=LANES)
    gathering.add(waiting(1, "hot", "y"))
    for number in range(OVERLAP_FROM - 2):
        gathering.add(waiting(100 + number, f"a{number}", f"b{number}"))
    assert gathering.begin(at_once=LANES) is None
    gathering.add(waiting(2, "y", "z"))
    second = gathering.begin(at_once=LANES)
    assert "1" not in keys(second)
    # Behind the held command, because it touches its receiver.
    assert "2" not in keys(second)
    assert len(keys(second)) == OVERLAP_FROM - 2
    assert first is not None
    gathering.end(first)
    assert second is not None
    gathering.end(second)
    assert keys(gathering.begin(at_once=LANES)) == ["1", "2"]


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


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from("ABCDEFGH"), st.sampled_from("ABCDEFGH")),
            st.integers(0, LANES),
        ),
        max_size=400,
    )
)
def test_groups_are_apart_and_accounts_keep_their_order(  # noqa: C901 - the model stands with its checks
    steps: list[tuple[str, str] | int],
) -> None:
    gathering = Gathering()
    running: list[Group] = []
    arrived: dict[str, list[int]] = defaultdict(list)
    done: dict[str, list[int]] = defaultdict(list)
    number = 0

    def begin() -> None:
        group = gathering.begin(at_once=LANES)
        if group is not None:
            for other in running:
                assert group.accounts.isdisjoint(other.accounts)
            running.append(group)
            assert len(running) <= LANES

    def end(group: Group) -> None:
        for member in group.members:
            for account in {member.command.from_account, member.command.to_account}:
                done[account].append(int(member.command.idempotency_key))
        gathering.end(group)

    for step in steps:
        if isinstance(step, tuple):
            gathering.add(waiting(number, *step))
            for account in set(step):
                arrived[account].append(number)
            number += 1
            begin()
        elif step < len(running):
            end(running.pop(step))
            begin()
    while running:
        end(running.pop())
        begin()
    assert gathering.idle
    assert done == arrived
