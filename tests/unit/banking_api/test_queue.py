"""Groups take what waits in its order."""

import asyncio
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.batches import Batch
from daemons.banking_api.ledger.queue import GROUP_LIMIT, OVERLAP_FROM, Group, GroupQueue, Waiting
from daemons.banking_api.ledger.record import Act
from daemons.shared.audit.record import SHELL

LANES = 4
ACT = Act(actor=SHELL)


def waiting(
    number: int, batch: Batch | None = None, *, atomic_size: int = 0, act: Act | None = None
) -> Waiting:
    command = Transfer(
        initiator=UUID(int=1),
        idempotency_key=str(number),
        act=act,
        from_account="A",
        to_account="B",
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
    queue = GroupQueue()
    assert queue.begin(at_once=LANES) is None
    queue.add(waiting(1))
    assert keys(queue.begin(at_once=LANES)) == ["1"]


def test_what_waits_goes_in_groups_beside_the_running_one_once_enough_wait() -> None:
    queue = GroupQueue()
    queue.add(waiting(0))
    first = queue.begin(at_once=LANES)
    for number in range(1, OVERLAP_FROM):
        queue.add(waiting(number))
    assert first is not None
    assert queue.begin(at_once=LANES) is None
    queue.add(waiting(OVERLAP_FROM))
    second = queue.begin(at_once=LANES)
    assert keys(second) == [str(number) for number in range(1, OVERLAP_FROM + 1)]
    for number in range(GROUP_LIMIT + 200):
        queue.add(waiting(number))
    assert keys(queue.begin(at_once=LANES)) == [str(number) for number in range(GROUP_LIMIT)]


def test_no_more_groups_run_than_may() -> None:
    queue = GroupQueue()
    running = []
    for number in range(2):
        for _ in range(OVERLAP_FROM):
            queue.add(waiting(number))
        running.append(queue.begin(at_once=2))
    for _ in range(GROUP_LIMIT):
        queue.add(waiting(2))
    assert queue.begin(at_once=2) is None
    assert running[0] is not None
    queue.end(running[0])
    assert len(keys(queue.begin(at_once=2))) == GROUP_LIMIT


@given(st.lists(st.one_of(st.just("add"), st.just("act"), st.integers(0, LANES)), max_size=400))
def test_all_commands_are_taken_once_and_in_their_order(steps: list[str | int]) -> None:
    queue = GroupQueue()
    running: list[Group] = []
    begun: list[int] = []
    added = 0

    def begin() -> None:
        group = queue.begin(at_once=LANES)
        if group is not None:
            begun.extend(int(member.command.idempotency_key) for member in group.members)
            acts = [member for member in group.members if member.command.act is not None]
            assert not acts or len(group.members) == 1
            running.append(group)
            assert len(running) <= LANES

    for step in steps:
        if isinstance(step, str):
            queue.add(waiting(added, act=ACT if step == "act" else None))
            added += 1
            begin()
        elif step < len(running):
            queue.end(running.pop(step))
            begin()
    while not queue.idle:
        if running:
            queue.end(running.pop())
        begin()
    assert begun == list(range(added))
    assert len(queue) == 0


def test_an_act_is_a_group_of_its_own() -> None:
    queue = GroupQueue()
    for number, act in enumerate([None, None, ACT, ACT, None]):
        queue.add(waiting(number, act=act))
    groups = []
    while (group := queue.begin(at_once=LANES)) is not None:
        groups.append(keys(group))
        queue.end(group)
    assert groups == [["0", "1"], ["2"], ["3"], ["4"]]


def test_an_atomic_batch_is_a_group_of_its_own_however_long_it_is() -> None:
    queue = GroupQueue()
    queue.add(waiting(0))
    size = GROUP_LIMIT + 10
    for number in range(1, size + 1):
        queue.add(waiting(number, atomic_size=size if number == 1 else 0))
    queue.add(waiting(size + 1))
    groups = []
    while (group := queue.begin(at_once=LANES)) is not None:
        groups.append(group)
        queue.end(group)
    assert [(group.atomic, len(group.members)) for group in groups] == [(False, 1), (True, size), (False, 1)]
    assert [key for group in groups for key in keys(group)] == [str(number) for number in range(size + 2)]


def test_others_overlap_a_long_atomic_batch_in_groups_that_may_exist() -> None:
    queue = GroupQueue()
    for number in range(4 * GROUP_LIMIT):
        queue.add(waiting(number, atomic_size=0 if number else 4 * GROUP_LIMIT))
    assert len(keys(queue.begin(at_once=LANES))) == 4 * GROUP_LIMIT
    for number in range(GROUP_LIMIT):
        assert queue.begin(at_once=LANES) is None
        queue.add(waiting(number))
    assert len(keys(queue.begin(at_once=LANES))) == GROUP_LIMIT
