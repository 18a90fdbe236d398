"""What the pipeline tells of each command, on a real database: in order, when something fails, at the end."""

import asyncio
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from prometheus_client import REGISTRY
from pymongo import _csot
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import AutoReconnect
from structlog.testing import capture_logs

from daemons.banking_api.kinds.close import Close
from daemons.banking_api.kinds.freeze import Freeze, Unfreeze
from daemons.banking_api.ledger import pipeline as pipeline_module
from daemons.banking_api.ledger.batches import Batch
from daemons.banking_api.ledger.ledger import NotTakenError
from daemons.banking_api.ledger.pipeline import Pipeline
from daemons.banking_api.ledger.queue import OVERLAP_FROM
from daemons.banking_api.ledger.record import Act, Command, Outcome, Record
from daemons.contracts.errors import BankError, ConflictError, OutcomeUnknownError, TransientError
from daemons.shared.audit.record import SHELL
from tests.support.commits import held_commits, unanswered_commits
from tests.support.ledgers import (
    OPERATOR,
    OWNER,
    Acts,
    LedgerProcess,
    funding,
    ledger_process,
    opening,
    told,
    transfer,
)
from tests.support.waiting import patience

UNAVAILABLE = TransientError("unavailable", "by the test", retry_after_seconds=1)
TOO_LARGE_TO_STORE = 2**63
"""More than the database can keep: a refusal that carries it cannot be written."""
Answer = asyncio.Future[Outcome]


async def outcome_of(answer: Answer) -> str:
    """What the command's initiator is told."""
    try:
        outcome = await answer
    except BankError as error:
        return error.code
    return told(outcome)


async def outcomes_of(answers: Sequence[Answer]) -> list[str]:
    async with patience("answers"):
        return [await outcome_of(answer) for answer in answers]


async def balances(process: LedgerProcess, *accounts: str) -> list[int]:
    found = await process.exact(*accounts)
    return [found[account].balance_minor for account in accounts]


def posted(kind: str, status: str) -> float:
    """How many commands of a kind were counted as posted."""
    labels = {"kind": kind, "status": status}
    return REGISTRY.get_sample_value("bankctl_commands_settled_total", labels) or 0.0


def groups() -> tuple[float, float]:
    """How many groups were counted, and of how many commands."""
    found = [REGISTRY.get_sample_value(f"bankctl_ledger_group_size_{name}") for name in ("count", "sum")]
    return found[0] or 0.0, found[1] or 0.0


async def until_others_have_run() -> None:
    """Let whatever can go on without the database go on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_each_command_is_told_its_own_outcome_and_what_is_new_is_counted_and_handed_on(
    process: LedgerProcess, pipeline: Pipeline, committed: list[Record]
) -> None:
    a, b, c = await process.open(3, balance=100)
    committed.clear()
    first = await pipeline.submit(transfer(a, b, 10, key="known"))
    assert committed == [first.record]
    committed.clear()
    before = posted("transfer", "completed"), posted("transfer", "failed"), posted("funding", "completed")
    count, total = groups()
    answers = [
        pipeline.enqueue(command)
        for command in (
            transfer(a, b, 90),
            transfer(a, b, 1),
            transfer(a, b, 10, key="known"),
            funding(c, 5),
            transfer(b, c, 200),
        )
    ]
    assert await outcomes_of(answers) == [
        "completed",
        "insufficient_funds",
        "completed",
        "completed",
        "completed",
    ]
    assert [answer.result().replayed for answer in answers] == [False, False, True, False, False]
    assert answers[2].result().record == first.record
    assert [found.record for found in (await answers[0], await answers[1])] == committed[:2]
    assert [found.data["amount"] for found in committed] == [90, 1, 5, 200]
    after = posted("transfer", "completed"), posted("transfer", "failed"), posted("funding", "completed")
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1, 1]
    assert groups() == (count + 1, total + 5)
    committed.clear()
    # The same key for another payment: nothing is done, nothing counts as posted.
    reused = await pipeline.submit(transfer(a, b, 11, key="known"))
    assert (reused.key_reused, committed) == (True, [])
    assert await balances(process, a, b, c) == [0, 0, 305]


async def test_a_key_that_is_being_settled_is_taken_once(process: LedgerProcess, pipeline: Pipeline) -> None:
    a, b = await process.open(2, balance=100)
    with held_commits() as commits:
        first = pipeline.enqueue(transfer(a, b, 10, key="one"))
        group = pipeline.enqueue_atomic([transfer(a, b, 1, key="two"), transfer(a, b, 1, key="three")])
        await commits.reached.wait()
        attempts: list[Callable[[], object]] = [
            lambda: pipeline.enqueue(transfer(a, b, 10, key="one")),
            lambda: pipeline.enqueue(transfer(a, b, 10, key="three")),
            lambda: pipeline.enqueue_atomic([transfer(a, b, 1, key="new"), transfer(a, b, 1, key="two")]),
            lambda: pipeline.enqueue_atomic([transfer(a, b, 1, key="new"), transfer(a, b, 1, key="new")]),
        ]
        for attempt in attempts:
            with pytest.raises(ConflictError) as refused:
                attempt()
            assert (refused.value.code, refused.value.retry_after_seconds) == ("idempotency_key_in_use", 1)
        commits.release()
        assert await outcomes_of([first, *group]) == ["completed"] * 3
    again = await pipeline.submit(transfer(a, b, 10, key="one"))
    assert again.replayed
    later = pipeline.enqueue_atomic([transfer(a, b, 2, key="new"), transfer(a, b, 3, key="newer")])
    assert await outcomes_of(later) == ["completed"] * 2
    assert await balances(process, a, b) == [83, 117]


async def test_what_cannot_be_written_fails_alone_and_the_others_are_posted_in_their_order(
    process: LedgerProcess, pipeline: Pipeline, committed: list[Record]
) -> None:
    [a], [b, c, d] = await process.open(1, balance=100), await process.open(3)
    committed.clear()
    batch = Batch()
    # Each spends what the one before brings.
    answers = [
        pipeline.enqueue(transfer(a, b, 10)),
        pipeline.enqueue(transfer(b, c, 10)),
        pipeline.enqueue(transfer(a, b, TOO_LARGE_TO_STORE, key="poison"), batch),
        pipeline.enqueue(transfer(c, d, 10)),
        pipeline.enqueue(transfer(d, a, 10)),
        pipeline.enqueue(transfer(d, a, 1)),
    ]
    with capture_logs() as logs:
        told_each = await outcomes_of(answers)
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("command cannot be carried out", "error")
    ]
    assert isinstance(logs[0]["exc_info"], OverflowError)
    assert told_each == [
        "completed",
        "completed",
        "internal",
        "completed",
        "completed",
        "insufficient_funds",
    ]
    assert (batch.waiting, batch.unsettled) == (0, True)
    assert [found.data["amount"] for found in committed] == [10, 10, 10, 10, 1]
    assert [entry.account_id for found in committed[:2] for entry in found.entries] == [a, b, b, c]
    # Nothing was kept under its key.
    assert told(await pipeline.submit(transfer(a, b, 5, key="poison"))) == "completed"
    with capture_logs():
        two = [pipeline.enqueue(transfer(a, b, 1)), pipeline.enqueue(transfer(a, b, TOO_LARGE_TO_STORE))]
        assert await outcomes_of(two) == ["completed", "internal"]


async def test_an_atomic_group_that_cannot_be_written_fails_as_a_whole(
    process: LedgerProcess, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)
    commands = [transfer(a, b, amount, key=str(amount)) for amount in (1, 2, 3)]
    tries = 0

    async def fail(_session: AsyncClientSession) -> None:
        nonlocal tries
        tries += 1
        raise RuntimeError("by the test")

    with monkeypatch.context() as patch, capture_logs():
        patch.setattr(AsyncClientSession, "commit_transaction", fail)
        assert await outcomes_of(pipeline.enqueue_atomic(commands)) == ["internal"] * 3
    assert tries == 1
    assert await outcomes_of(pipeline.enqueue_atomic(commands)) == ["completed"] * 3
    assert await balances(process, a, b) == [94, 106]


async def test_an_atomic_group_is_posted_alone_whole_or_with_the_reasons_of_its_rows(
    process: LedgerProcess, pipeline: Pipeline, committed: list[Record]
) -> None:
    [a], [b, c] = await process.open(1, balance=100), await process.open(2)
    known = await pipeline.submit(transfer(a, c, 1, key="known"))
    committed.clear()
    commits = len(process.seals)
    before = pipeline.enqueue(transfer(a, b, 10))
    group = pipeline.enqueue_atomic([transfer(a, b, 89), transfer(b, c, 99)])
    after = pipeline.enqueue(transfer(c, b, 100))
    poor = pipeline.enqueue_atomic([transfer(b, c, 1, key="fine"), transfer(a, c, 1, key="poor")])
    mixed = pipeline.enqueue_atomic([transfer(a, c, 1, key="known"), transfer(b, c, 1, key="new")])
    assert await outcomes_of([before, *group, after]) == ["completed"] * 4
    assert await outcomes_of(poor) == ["atomic_batch_refused", "insufficient_funds"]
    assert await outcomes_of(mixed) == ["completed", "atomic_batch_partly_known"]
    assert (mixed[0].result().record, mixed[0].result().replayed) == (known.record, True)
    assert [found.data["amount"] for found in committed] == [10, 89, 99, 100]
    assert len(process.seals) == commits + 3
    # No key was used up.
    again = [transfer(b, c, 1, key="fine"), transfer(b, c, 1, key="new")]
    assert await outcomes_of(pipeline.enqueue_atomic(again)) == ["completed"] * 2
    assert await balances(process, a, b, c) == [0, 98, 2]


async def test_an_atomic_group_that_another_process_has_posted_is_told_again(
    process: LedgerProcess, pipeline: Pipeline, mongo_uri: str, database_name: str
) -> None:
    a, b = await process.open(2, balance=100)
    group = [transfer(a, b, 60, key="one"), transfer(a, b, 40, key="two")]
    async with ledger_process(mongo_uri, database_name) as other:
        first = await other.post_atomic(group)
    # It knows by now that nothing is left to pay them from.
    assert await process.pay(b, a, 1) == "completed"
    again = pipeline.enqueue_atomic(group)
    assert await outcomes_of(again) == ["completed"] * 2
    assert [answer.result().record.id for answer in again] == [done.record.id for done in first]


@pytest.mark.parametrize("atomic", [False, True])
async def test_if_nothing_of_a_group_is_posted_each_is_told_and_may_be_sent_again(
    process: LedgerProcess, pipeline: Pipeline, committed: list[Record], *, atomic: bool
) -> None:
    a, b = await process.open(2, balance=100)
    committed.clear()
    commands = [transfer(a, b, 10, key="one"), transfer(a, b, 20, key="two")]
    batch = Batch()

    def enqueue() -> list[Answer]:
        if atomic:
            return pipeline.enqueue_atomic(commands, batch)
        return [pipeline.enqueue(command, batch) for command in commands]

    count = groups()
    with held_commits() as commits:
        answers = enqueue()
        await commits.reached.wait()
        commits.release(UNAVAILABLE)
        for answer in answers:
            with pytest.raises(TransientError) as failed:
                await answer
            assert failed.value is UNAVAILABLE
    assert (batch.waiting, batch.unsettled, committed, groups()) == (0, True, [], count)
    assert await balances(process, a, b) == [100, 100]
    batch = Batch()
    assert await outcomes_of(enqueue()) == ["completed"] * 2
    assert (batch.waiting, batch.unsettled) == (0, False)


async def test_a_commit_of_unknown_outcome_that_is_not_found_is_told_as_unknown_and_repeated_safely(
    process: LedgerProcess, pipeline: Pipeline
) -> None:
    a, b = await process.open(2, balance=100)
    with unanswered_commits(undone=True), pytest.raises(OutcomeUnknownError) as unknown:
        await pipeline.submit(transfer(a, b, 10, key="one"))
    assert (unknown.value.code, unknown.value.retry_after_seconds) == ("outcome_unknown", 1)
    with unanswered_commits():
        assert not (await pipeline.submit(transfer(a, b, 10, key="one"))).replayed
    assert (await pipeline.submit(transfer(a, b, 10, key="one"))).replayed
    assert await balances(process, a, b) == [90, 110]


@contextmanager
def no_complaints() -> Iterator[None]:
    """See that the event loop has nothing to complain of within the block."""
    loop, complaints = asyncio.get_running_loop(), list[dict[str, Any]]()
    # What other tests have left behind is not meant.
    gc.collect()
    loop.set_exception_handler(lambda _loop, context: complaints.append(context))
    try:
        yield
        gc.collect()
    finally:
        loop.set_exception_handler(None)
    assert complaints == []


async def test_a_caller_who_is_gone_takes_nothing_along(process: LedgerProcess, pipeline: Pipeline) -> None:
    a, b = await process.open(2, balance=100)
    with no_complaints():
        with held_commits() as commits:
            gone = asyncio.create_task(pipeline.submit(transfer(a, b, 10, key="gone")))
            await commits.reached.wait()
            stays = pipeline.enqueue(transfer(a, b, 5))
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            commits.release()
            assert await outcome_of(stays) == "completed"
        assert (await pipeline.submit(transfer(a, b, 10, key="gone"))).replayed
        with held_commits() as commits:
            pipeline.enqueue(transfer(a, b, 10, key="failed"))
            await commits.reached.wait()
            commits.release(UNAVAILABLE)
            # It comes behind the one that failed, of which nobody has asked for the answer.
            assert await outcome_of(pipeline.enqueue(transfer(a, b, 1))) == "unavailable"
        await until_others_have_run()
    assert await balances(process, a, b) == [85, 115]


async def test_a_freeze_holds_for_what_comes_behind_it_and_for_nothing_before_it(
    process: LedgerProcess, pipeline: Pipeline
) -> None:
    a, b, c = await process.open(3, balance=100)
    by_hand = Act(actor=SHELL)

    def change(kind: type[Freeze | Unfreeze]) -> Command:
        return kind(
            initiator=OPERATOR, idempotency_key=str(uuid4()), act=by_hand, account_id=a, reason="a test"
        )

    with held_commits() as commits:
        under_way = pipeline.enqueue(transfer(a, b, 1))
        await commits.reached.wait()
        # All of it is taken before anything is decided; acts are groups of their own.
        answers = [
            pipeline.enqueue(command)
            for command in (
                transfer(a, b, 2),
                change(Freeze),
                transfer(a, b, 4),
                transfer(b, a, 8),
                transfer(b, c, 16),
                change(Unfreeze),
                transfer(b, a, 32),
            )
        ]
        commits.release()
        assert await outcomes_of([under_way, *answers]) == [
            "completed",
            "completed",
            "completed",
            "account_frozen",
            "account_frozen",
            "completed",
            "completed",
            "completed",
        ]
    assert await balances(process, a, b, c) == [129, 55, 116]


async def test_groups_are_written_side_by_side_once_enough_waits(
    process: LedgerProcess, pipeline: Pipeline
) -> None:
    a, b = await process.open(2, balance=100)
    with held_commits() as commits:
        first = pipeline.enqueue(transfer(a, b, 1))
        await commits.reached.wait()
        waiting = [pipeline.enqueue(transfer(a, b, 1)) for _ in range(OVERLAP_FROM - 1)]
        await until_others_have_run()
        assert commits.count == 1
        waiting.append(pipeline.enqueue(transfer(a, b, 1)))
        commits.release()
        assert await outcomes_of([first, *waiting]) == ["completed"] * (1 + OVERLAP_FROM)
    up_to = [seal.records for seal in process.seals[-3:]]
    assert [now - before for before, now in pairwise(up_to)] == [1, OVERLAP_FROM]


async def test_nothing_is_posted_behind_a_batch_that_is_not_settled(
    process: LedgerProcess, pipeline: Pipeline
) -> None:
    a, b = await process.open(2, balance=100)
    first, second, third, unrelated = Batch(), Batch(), Batch(), Batch()
    second.follows, third.follows = first, second
    with held_commits() as commits:
        failing = pipeline.enqueue(transfer(a, b, 1), first)
        first.close(whole=True)
        await commits.reached.wait()
        answers = [
            pipeline.enqueue(transfer(a, b, 2), second),
            pipeline.enqueue(transfer(a, b, 4), unrelated),
            pipeline.enqueue(transfer(a, b, 8), third),
            pipeline.enqueue(transfer(a, b, 16)),
            *pipeline.enqueue_atomic([transfer(a, b, 32), transfer(a, b, 64)], third),
        ]
        for batch in (second, third, unrelated):
            batch.close(whole=True)
        commits.release(UNAVAILABLE)
        assert await outcomes_of([failing]) == ["unavailable"]
    refused = "batch_before_not_settled"
    assert await outcomes_of(answers[:1]) == [refused]
    assert await outcomes_of(answers[2:3] + answers[4:]) == [refused] * 3
    assert [batch.unsettled for batch in (first, second, third)] == [True] * 3
    assert (unrelated.waiting, third.waiting) == (0, 0)


async def test_what_refuses_an_act_refuses_it_alone(
    acting: tuple[LedgerProcess, Acts],
) -> None:
    process, acts = acting
    pipeline, committed = process.pipeline, process.committed
    a, b = await process.open(2, balance=100)
    act, again = (funding(a, 7, key="act", act=Act(actor=SHELL)) for _ in range(2))
    acts.error = ConflictError("approval_decided", "by the test")
    paying, acting_ = await asyncio.gather(
        pipeline.submit(transfer(a, b, 1)), pipeline.submit(act), return_exceptions=True
    )
    assert acting_ is acts.error
    assert not isinstance(paying, BaseException)
    assert told(paying) == "completed"
    acts.error = None
    before = posted("funding", "completed")
    committed.clear()
    outcome = await pipeline.submit(act)
    assert (told(outcome), outcome.replayed) == ("completed", False)
    assert committed == [outcome.record]
    assert acts.told == [(act, outcome.record)]
    replay = await pipeline.submit(again)
    reused = await pipeline.submit(funding(a, 8, key="act", act=Act(actor=SHELL)))
    assert (replay.replayed, reused.key_reused) == (True, True)
    # It is told of acts, of each once.
    await pipeline.submit(transfer(a, b, 2))
    assert (len(committed), len(acts.told)) == (2, 1)
    assert posted("funding", "completed") == before + 1
    assert await balances(process, a, b) == [104, 103]


async def test_a_pipeline_that_closes_settles_what_waits_and_takes_no_more(
    process: LedgerProcess, pipeline: Pipeline
) -> None:
    a, b = await process.open(2, balance=1000)
    with held_commits() as commits:
        waiting = [pipeline.enqueue(transfer(a, b, 1))]
        await commits.reached.wait()
        # Behind the one at work these wait for a group.
        waiting += [pipeline.enqueue(transfer(a, b, 1)) for _ in range(9)]
        waiting += pipeline.enqueue_atomic([transfer(a, b, 1), transfer(a, b, 1)])
        closing = asyncio.create_task(pipeline.close())
        await until_others_have_run()
        refuse_more(pipeline, transfer(a, b, 1))
        assert not closing.done()
        commits.release()
        async with patience("the pipeline to close"):
            await closing
    assert [told(answer.result()) for answer in waiting] == ["completed"] * 12
    assert (await process.exact(b))[b].balance_minor == 1012


async def test_an_idle_pipeline_closes_at_once(process: LedgerProcess, pipeline: Pipeline) -> None:
    a, b = await process.open(2, balance=100)
    assert told(await pipeline.submit(transfer(a, b, 1))) == "completed"
    await until_others_have_run()
    # Nothing is kept of commits that have ended.
    assert (pipeline._commits, pipeline._in_flight) == (set(), set())
    async with patience("the pipeline to close"):
        await pipeline.close()
    refuse_more(pipeline, transfer(a, b, 1))


async def test_no_more_waits_than_may(
    process: LedgerProcess, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_module, "WAITING_LIMIT", 5)
    a, b = await process.open(2, balance=1000)
    last = transfer(a, b, 1, key="one too many")
    with held_commits() as commits:
        taken = [pipeline.enqueue(transfer(a, b, 1))]
        await commits.reached.wait()
        taken += [pipeline.enqueue(transfer(a, b, 1)) for _ in range(5)]
        refuse_more(pipeline, last)
        commits.release()
        await outcomes_of(taken)
    # What was refused has left nothing behind that would keep it from being sent again.
    assert told(await pipeline.submit(last)) == "completed"


def refuse_more(pipeline: Pipeline, command: Command) -> None:
    """See that the pipeline takes no command, alone or as an atomic group, and says when to come again."""
    for attempt in (lambda: pipeline.enqueue(command), lambda: pipeline.enqueue_atomic([command])):
        with pytest.raises(TransientError) as refused:
            attempt()
        assert (refused.value.code, refused.value.retry_after_seconds) == ("overloaded", 1)


async def test_a_group_that_has_no_time_left_is_not_committed(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)
    # So long must be left at least, and there never is.
    monkeypatch.setattr(pipeline_module, "_TIME_TO_COMMIT_SECONDS", 8.0)
    monkeypatch.setattr(pipeline_module, "TRANSACTION_TIMEOUT_SECONDS", 0.3)
    with pytest.raises(TransientError) as busy:
        await process.pay(a, b, 10, key="one")
    assert (busy.value.code, busy.value.retry_after_seconds) == ("unavailable", 1)
    monkeypatch.undo()
    [outcome] = await process.post([transfer(a, b, 10, key="one")])
    assert (told(outcome), outcome.replayed) == ("completed", False)


async def test_a_group_does_not_wait_for_ever_for_those_before_it(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)
    monkeypatch.setattr(pipeline_module, "_LONGEST_WAIT_SECONDS", 0.05)
    place = process.pipeline._order.join()
    # It is never decided.
    with pytest.raises(TransientError) as busy:
        await process.pay(a, b, 10)
    assert (busy.value.code, busy.value.retry_after_seconds) == ("unavailable", 1)
    place.leave()
    assert await process.pay(a, b, 10) == "completed"


async def test_an_unknown_commit_that_cannot_be_read_back_stays_unknown(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)

    allowed: list[float | None] = []

    def unreachable(*_arguments: object, **_named: object) -> None:
        allowed.append(_csot.get_timeout())
        raise AutoReconnect("by the test")

    with unanswered_commits(), monkeypatch.context() as patch:
        patch.setattr(AsyncCollection, "find", unreachable)
        with pytest.raises(OutcomeUnknownError) as unknown:
            await process.pay(a, b, 10, key="one")
    # Everybody behind the group waits for it.
    assert allowed == [pipeline_module._READ_BACK_SECONDS]
    assert (unknown.value.code, unknown.value.retry_after_seconds) == ("outcome_unknown", 1)
    [again] = await process.post([transfer(a, b, 10, key="one")])
    assert again.replayed


async def test_a_replay_alone_writes_nothing(process: LedgerProcess) -> None:
    a, b = await process.open(2, balance=100)
    await process.pay(a, b, 10, key="one")
    stored = await process.database["journal"].count_documents({})
    [again, reused] = await process.post([transfer(a, b, 10, key="one"), transfer(a, b, 11, key="one")])
    assert (again.replayed, reused.key_reused) == (True, True)
    assert await process.database["journal"].count_documents({}) == stored
    [(_, ids)] = await process.journal.seals_after(process.seals[-2].number, limit=2)
    assert ids == [again.record.id]


async def test_what_is_written_of_acts_is_of_new_ones_and_of_none_of_a_refused_atomic_group(
    acting: tuple[LedgerProcess, Acts],
) -> None:
    process, acts = acting
    by_hand = Act(actor=SHELL)
    a, b = await process.open(2, balance=100)
    first, replay = (funding(a, 1, key="one", act=by_hand) for _ in range(2))
    [done] = await process.post([first])
    second = funding(b, 2, key="two", act=by_hand)
    group = [transfer(a, b, 1), replay, funding(a, 9, key="one", act=by_hand), second]
    outcomes = await process.post(group)
    assert acts.told == [(first, done.record), (second, outcomes[3].record)]
    refused = process.begin([funding(a, 3, key="three", act=by_hand), transfer(a, b, 999)], atomic=True)
    assert await outcomes_of([one.answer for one in refused]) == [
        "atomic_batch_refused",
        "insufficient_funds",
    ]
    assert len(acts.told) == 2


async def test_a_pipeline_that_has_moved_does_nothing_more_and_says_that_nothing_was_done(
    process: LedgerProcess, pipeline: Pipeline, mongo_uri: str, database_name: str
) -> None:
    a, b = await process.open(2, balance=100)
    with held_commits() as commits:
        under_way = pipeline.enqueue(transfer(a, b, 1))
        await commits.reached.wait()
        command = transfer(a, b, 2, key="late")
        late = [pipeline.enqueue(command), *pipeline.enqueue_atomic([transfer(a, b, 4), transfer(a, b, 8)])]
        pipeline.move()
        commits.release()
        assert await outcomes_of([under_way]) == ["completed"]
        told_each = await asyncio.gather(*late, return_exceptions=True)
    assert [type(error) for error in told_each] == [NotTakenError] * 3
    assert await balances(process, a, b) == [99, 101]
    async with ledger_process(mongo_uri, database_name) as next_one:
        outcome = await next_one.pipeline.submit(command)
    assert (told(outcome), outcome.replayed) == ("completed", False)


async def test_what_was_done_before_is_not_refused_when_its_command_is_sent_again(
    process: LedgerProcess, pipeline: Pipeline, mongo_uri: str, database_name: str
) -> None:
    """Its answer was lost with the process that had decided it; refusals that are not kept take no number."""
    a, b, c = await process.open(3)
    sent = [
        freeze(a),
        opening("1000000009", most_per_user=4),
        funding(b, 40, alone_limit_minor=60),
        close(c),
    ]
    done = [await pipeline.submit(command) for command in sent]
    assert [told(outcome) for outcome in done] == ["completed"] * 4
    async with ledger_process(mongo_uri, database_name) as next_one:
        again = [await next_one.pipeline.submit(command) for command in sent]
        assert [(outcome.record, outcome.replayed) for outcome in again] == [
            (outcome.record, False) for outcome in done
        ]
        # The same asked for anew is refused.
        anew = [
            freeze(a),
            opening("1000000017", most_per_user=4),
            funding(b, 40, alone_limit_minor=60),
            close(c),
        ]
        assert [await outcome_of(next_one.pipeline.enqueue(command)) for command in anew] == [
            "account_already_frozen",
            "account_limit_reached",
            "beyond_alone_limit",
            "account_already_closed",
        ]


def freeze(account: str) -> Freeze:
    """A freeze by somebody who does not own the account."""
    return Freeze(initiator=OPERATOR, idempotency_key=str(uuid4()), account_id=account, reason="a test")


def close(account: str) -> Close:
    """The owner's order to close the account."""
    return Close(initiator=OWNER, idempotency_key=str(uuid4()), account_id=account)
