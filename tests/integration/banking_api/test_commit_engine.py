"""What the engine tells of each command, on a real ledger: in order, when something fails, at the end."""

import asyncio
import gc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from daemons.banking_api.domain.decision import Outcome
from daemons.banking_api.domain.journal import BookingAct, JournalTransaction, PostingCommand
from daemons.banking_api.services import commit_engine
from daemons.banking_api.services.commit_engine import CommitEngine
from daemons.banking_api.services.gathering import OVERLAP_FROM
from daemons.banking_api.services.succession import Batch
from prometheus_client import REGISTRY
from pymongo.asynchronous.client_session import AsyncClientSession
from structlog.testing import capture_logs

from daemons.contracts.errors import BankError, ConflictError, OutcomeUnknownError, TransientError
from daemons.shared.audit.record import SHELL
from daemons.shared.mongo import transaction_options
from tests.support.commits import held_commits, unanswered_commits
from tests.support.ledgers import Acts, LedgerProcess, funding, ledger_process, told, transfer
from tests.support.waiting import eventually, patience

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
    return REGISTRY.get_sample_value("bankctl_commands_posted_total", labels) or 0.0


def groups() -> tuple[float, float]:
    """How many groups were counted, and of how many commands."""
    found = [REGISTRY.get_sample_value(f"bankctl_commit_group_size_{name}") for name in ("count", "sum")]
    return found[0] or 0.0, found[1] or 0.0


async def until_others_have_run() -> None:
    """Let whatever can go on without the database go on."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_each_command_is_told_its_own_outcome_and_what_is_new_is_counted_and_handed_on(
    process: LedgerProcess, engine: CommitEngine, committed: list[JournalTransaction]
) -> None:
    a, b, c = await process.open(3, balance=100)
    first = await engine.post(transfer(a, b, 10, key="known"))
    assert committed == [first.transaction]
    committed.clear()
    before = posted("transfer", "completed"), posted("transfer", "failed"), posted("funding", "completed")
    count, total = groups()
    answers = [
        engine.enqueue(command)
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
    assert answers[2].result().transaction == first.transaction
    assert [found.transaction for found in (await answers[0], await answers[1])] == committed[:2]
    assert [found.amount_minor for found in committed] == [90, 1, 5, 200]
    after = posted("transfer", "completed"), posted("transfer", "failed"), posted("funding", "completed")
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1, 1]
    assert groups() == (count + 1, total + 5)
    committed.clear()
    # The same key for another payment: nothing is done, nothing counts as posted.
    reused = await engine.post(transfer(a, b, 11, key="known"))
    assert (reused.key_reused, committed) == (True, [])
    assert await balances(process, a, b, c) == [0, 0, 305]


async def test_a_key_that_is_being_settled_is_taken_once(
    process: LedgerProcess, engine: CommitEngine
) -> None:
    a, b = await process.open(2, balance=100)
    with held_commits() as commits:
        first = engine.enqueue(transfer(a, b, 10, key="one"))
        group = engine.enqueue_atomic([transfer(a, b, 1, key="two"), transfer(a, b, 1, key="three")])
        await commits.reached.wait()
        attempts: list[Callable[[], object]] = [
            lambda: engine.enqueue(transfer(a, b, 10, key="one")),
            lambda: engine.enqueue(transfer(a, b, 10, key="three")),
            lambda: engine.enqueue_atomic([transfer(a, b, 1, key="new"), transfer(a, b, 1, key="two")]),
            lambda: engine.enqueue_atomic([transfer(a, b, 1, key="new"), transfer(a, b, 1, key="new")]),
        ]
        for attempt in attempts:
            with pytest.raises(ConflictError) as refused:
                attempt()
            assert (refused.value.code, refused.value.retry_after_seconds) == ("idempotency_key_in_use", 1)
        commits.release()
        assert await outcomes_of([first, *group]) == ["completed"] * 3
    again = await engine.post(transfer(a, b, 10, key="one"))
    assert again.replayed
    later = engine.enqueue_atomic([transfer(a, b, 2, key="new"), transfer(a, b, 3, key="newer")])
    assert await outcomes_of(later) == ["completed"] * 2
    assert await balances(process, a, b) == [83, 117]


async def test_what_cannot_be_written_fails_alone_and_the_others_are_posted_in_their_order(
    process: LedgerProcess, engine: CommitEngine, committed: list[JournalTransaction]
) -> None:
    [a], [b, c, d] = await process.open(1, balance=100), await process.open(3)
    batch = Batch()
    # Each spends what the one before brings.
    answers = [
        engine.enqueue(transfer(a, b, 10)),
        engine.enqueue(transfer(b, c, 10)),
        engine.enqueue(transfer(a, b, TOO_LARGE_TO_STORE, key="poison"), batch),
        engine.enqueue(transfer(c, d, 10)),
        engine.enqueue(transfer(d, a, 10)),
        engine.enqueue(transfer(d, a, 1)),
    ]
    with capture_logs() as logs:
        told_each = await outcomes_of(answers)
    assert [(line["event"], line["log_level"]) for line in logs] == [("command cannot be posted", "error")]
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
    assert [found.amount_minor for found in committed] == [10, 10, 10, 10, 1]
    assert [entry.account_id for found in committed[:2] for entry in found.entries] == [a, b, b, c]
    # Nothing was kept under its key.
    assert told(await engine.post(transfer(a, b, 5, key="poison"))) == "completed"
    with capture_logs():
        two = [engine.enqueue(transfer(a, b, 1)), engine.enqueue(transfer(a, b, TOO_LARGE_TO_STORE))]
        assert await outcomes_of(two) == ["completed", "internal"]


async def test_an_atomic_group_that_cannot_be_written_fails_as_a_whole(
    process: LedgerProcess, engine: CommitEngine, monkeypatch: pytest.MonkeyPatch
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
        assert await outcomes_of(engine.enqueue_atomic(commands)) == ["internal"] * 3
    assert tries == 1
    assert await outcomes_of(engine.enqueue_atomic(commands)) == ["completed"] * 3
    assert await balances(process, a, b) == [94, 106]


async def test_an_atomic_group_is_posted_alone_whole_or_with_the_reasons_of_its_rows(
    process: LedgerProcess, engine: CommitEngine, committed: list[JournalTransaction]
) -> None:
    [a], [b, c] = await process.open(1, balance=100), await process.open(2)
    known = await engine.post(transfer(a, c, 1, key="known"))
    committed.clear()
    commits = await process.database["outbox"].count_documents({})
    before = engine.enqueue(transfer(a, b, 10))
    group = engine.enqueue_atomic([transfer(a, b, 89), transfer(b, c, 99)])
    after = engine.enqueue(transfer(c, b, 100))
    poor = engine.enqueue_atomic([transfer(b, c, 1, key="fine"), transfer(a, c, 1, key="poor")])
    mixed = engine.enqueue_atomic([transfer(a, c, 1, key="known"), transfer(b, c, 1, key="new")])
    assert await outcomes_of([before, *group, after]) == ["completed"] * 4
    assert await outcomes_of(poor) == ["atomic_batch_refused", "insufficient_funds"]
    assert await outcomes_of(mixed) == ["completed", "atomic_batch_partly_known"]
    assert (mixed[0].result().transaction, mixed[0].result().replayed) == (known.transaction, True)
    assert [found.amount_minor for found in committed] == [10, 89, 99, 100]
    assert await process.database["outbox"].count_documents({}) == commits + 3
    # No key was used up.
    again = [transfer(b, c, 1, key="fine"), transfer(b, c, 1, key="new")]
    assert await outcomes_of(engine.enqueue_atomic(again)) == ["completed"] * 2
    assert await balances(process, a, b, c) == [0, 98, 2]


async def test_an_atomic_group_that_another_process_has_posted_is_told_again(
    process: LedgerProcess, engine: CommitEngine, mongo_uri: str, database_name: str
) -> None:
    a, b = await process.open(2, balance=100)
    group = [transfer(a, b, 60, key="one"), transfer(a, b, 40, key="two")]
    async with ledger_process(mongo_uri, database_name) as other:
        first = await other.post_atomic(group)
    # It knows by now that nothing is left to pay them from.
    assert await process.pay(b, a, 1) == "completed"
    again = engine.enqueue_atomic(group)
    assert await outcomes_of(again) == ["completed"] * 2
    assert [answer.result().transaction.id for answer in again] == [done.transaction.id for done in first]


@pytest.mark.parametrize("atomic", [False, True])
async def test_if_nothing_of_a_group_is_posted_each_is_told_and_may_be_sent_again(
    process: LedgerProcess, engine: CommitEngine, committed: list[JournalTransaction], *, atomic: bool
) -> None:
    a, b = await process.open(2, balance=100)
    commands = [transfer(a, b, 10, key="one"), transfer(a, b, 20, key="two")]
    batch = Batch()

    def enqueue() -> list[Answer]:
        if atomic:
            return engine.enqueue_atomic(commands, batch)
        return [engine.enqueue(command, batch) for command in commands]

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
    process: LedgerProcess, engine: CommitEngine
) -> None:
    a, b = await process.open(2, balance=100)
    with unanswered_commits(undone=True), pytest.raises(OutcomeUnknownError) as unknown:
        await engine.post(transfer(a, b, 10, key="one"))
    assert (unknown.value.code, unknown.value.retry_after_seconds) == ("outcome_unknown", 1)
    with unanswered_commits():
        assert not (await engine.post(transfer(a, b, 10, key="one"))).replayed
    assert (await engine.post(transfer(a, b, 10, key="one"))).replayed
    assert await balances(process, a, b) == [90, 110]


async def test_a_caller_who_is_gone_takes_nothing_along(process: LedgerProcess, engine: CommitEngine) -> None:
    a, b = await process.open(2, balance=100)
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    with held_commits() as commits:
        gone = asyncio.create_task(engine.post(transfer(a, b, 10, key="gone")))
        stays = engine.enqueue(transfer(a, b, 5))
        await commits.reached.wait()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        commits.release()
        assert await outcome_of(stays) == "completed"
    assert (await engine.post(transfer(a, b, 10, key="gone"))).replayed
    with held_commits() as commits:
        engine.enqueue(transfer(a, b, 10, key="failed"))
        await commits.reached.wait()
        commits.release(UNAVAILABLE)
        # It comes behind the one that failed, of which nobody has asked for the answer.
        assert await outcome_of(engine.enqueue(transfer(a, b, 1))) == "unavailable"
    gc.collect()
    await until_others_have_run()
    assert complaints == []
    assert await balances(process, a, b) == [85, 115]


async def test_while_an_account_is_held_back_nothing_is_posted_on_it_and_all_else_is(
    process: LedgerProcess, engine: CommitEngine
) -> None:
    a, b, c, d, e = await process.open(5, balance=100)
    order: list[str] = []

    def ordered(name: str, command: PostingCommand) -> Answer:
        answer = engine.enqueue(command)
        answer.add_done_callback(lambda _: order.append(name))
        return answer

    with held_commits() as commits:
        under_way = ordered("under way", transfer(a, b, 1))
        await commits.reached.wait()
        # Nothing of theirs is under way.
        async with engine.holding_back(c):
            assert order == []
        entered = asyncio.Event()

        async def change() -> None:
            async with engine.holding_back(b):
                entered.set()
                order.append("changed")
                held = [ordered("to it", transfer(c, b, 2)), ordered("behind", transfer(c, d, 3))]
                assert await outcome_of(ordered("another", transfer(e, a, 4))) == "completed"
                assert not any(answer.done() for answer in held)
                raise LookupError("by the test")

        changing = asyncio.create_task(change())
        await until_others_have_run()
        assert not entered.is_set()
        commits.release()
        with pytest.raises(LookupError, match="by the test"):
            await changing
    assert await outcomes_of([under_way, engine.enqueue(transfer(b, a, 5))]) == ["completed"] * 2
    # What waited behind the account, on another one, kept its place.
    assert order == ["under way", "changed", "another", "to it", "behind"]
    assert await balances(process, a, b, c, d, e) == [108, 98, 95, 103, 96]


async def test_what_was_held_back_is_posted_without_another_command_coming(
    process: LedgerProcess, engine: CommitEngine
) -> None:
    a, b = await process.open(2, balance=100)
    async with engine.holding_back(a):
        held = engine.enqueue(transfer(a, b, 1))
    assert await outcomes_of([held]) == ["completed"]


async def test_groups_are_written_side_by_side_once_enough_waits(
    process: LedgerProcess, engine: CommitEngine
) -> None:
    a, b = await process.open(2, balance=100)
    with held_commits() as commits:
        first = engine.enqueue(transfer(a, b, 1))
        await commits.reached.wait()
        waiting = [engine.enqueue(transfer(a, b, 1)) for _ in range(OVERLAP_FROM - 1)]
        await until_others_have_run()
        outbox = process.database["outbox"]
        assert commits.count == 1
        waiting.append(engine.enqueue(transfer(a, b, 1)))
        commits.release()
        assert await outcomes_of([first, *waiting]) == ["completed"] * (1 + OVERLAP_FROM)
    sizes = [entry["events"] async for entry in outbox.find({"body.transactions": {"$exists": True}})]
    assert sizes[-2:] == [1, OVERLAP_FROM]


async def test_a_group_that_waits_for_its_turn_takes_along_what_has_come_meanwhile(
    process: LedgerProcess, engine: CommitEngine
) -> None:
    a, b = await process.open(2, balance=100)
    process.writers.alone = False
    assert told(await engine.post(transfer(a, b, 1))) == "completed"
    turns = process.database["turns"]
    async with process.database.client.start_session() as session:
        await session.start_transaction(**transaction_options())
        # As another process that has the turn.
        await turns.update_one({"_id": "now"}, {"$inc": {"number": 1}}, session=session)
        answers = [engine.enqueue(transfer(a, b, 2))]

        async def runs() -> bool:
            return any(task.get_name() == "commit" for task in asyncio.all_tasks())

        await eventually(runs)
        answers += [engine.enqueue(transfer(a, b, 3)), engine.enqueue(transfer(a, b, 4))]
        await session.abort_transaction()
    assert await outcomes_of(answers) == ["completed"] * 3
    last = await process.database["outbox"].find().sort("_id", -1).limit(1).to_list()
    assert [entry["events"] for entry in last] == [3]


async def test_nothing_is_posted_behind_a_batch_that_is_not_settled(
    process: LedgerProcess, engine: CommitEngine
) -> None:
    a, b = await process.open(2, balance=100)
    first, second, third, unrelated = Batch(), Batch(), Batch(), Batch()
    second.follows, third.follows = first, second
    with held_commits() as commits:
        failing = engine.enqueue(transfer(a, b, 1), first)
        first.close(whole=True)
        await commits.reached.wait()
        answers = [
            engine.enqueue(transfer(a, b, 2), second),
            engine.enqueue(transfer(a, b, 4), unrelated),
            engine.enqueue(transfer(a, b, 8), third),
            engine.enqueue(transfer(a, b, 16)),
            *engine.enqueue_atomic([transfer(a, b, 32), transfer(a, b, 64)], third),
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
    acting: tuple[LedgerProcess, CommitEngine, Acts], committed: list[JournalTransaction]
) -> None:
    process, engine, acts = acting
    a, b = await process.open(2, balance=100)
    act = funding(a, 7, key="act", act=BookingAct(actor=SHELL))
    acts.error = ConflictError("approval_decided", "by the test")
    paying, acting_ = await asyncio.gather(
        engine.post(transfer(a, b, 1)), engine.post_alone(act), return_exceptions=True
    )
    assert acting_ is acts.error
    assert not isinstance(paying, BaseException)
    assert told(paying) == "completed"
    acts.error = None
    before = posted("funding", "completed")
    committed.clear()
    outcome = await engine.post_alone(act)
    assert (told(outcome), outcome.replayed) == ("completed", False)
    assert committed == [outcome.transaction]
    assert acts.told == [(act, outcome.transaction)]
    again = await engine.post_alone(act)
    reused = await engine.post_alone(funding(a, 8, key="act", act=BookingAct(actor=SHELL)))
    assert (again.replayed, reused.key_reused) == (True, True)
    # It is told of acts, of each once.
    await engine.post(transfer(a, b, 2))
    assert (len(committed), len(acts.told)) == (2, 1)
    assert posted("funding", "completed") == before + 1
    assert await balances(process, a, b) == [104, 103]


async def test_an_engine_that_closes_settles_what_waits_and_takes_no_more(
    process: LedgerProcess, engine: CommitEngine
) -> None:
    a, b = await process.open(2, balance=1000)
    with held_commits() as commits:
        waiting = [engine.enqueue(transfer(a, b, 1))]
        await commits.reached.wait()
        # Behind the one at work these wait for a group.
        waiting += [engine.enqueue(transfer(a, b, 1)) for _ in range(9)]
        waiting += engine.enqueue_atomic([transfer(a, b, 1), transfer(a, b, 1)])
        closing = asyncio.create_task(engine.close())
        await until_others_have_run()
        refuse_more(engine, transfer(a, b, 1))
        assert not closing.done()
        commits.release()
        async with patience("the engine to close"):
            await closing
    assert [told(answer.result()) for answer in waiting] == ["completed"] * 12
    assert (await process.exact(b))[b].balance_minor == 1012


async def test_an_idle_engine_closes_at_once(process: LedgerProcess, engine: CommitEngine) -> None:
    a, b = await process.open(2, balance=100)
    assert told(await engine.post(transfer(a, b, 1))) == "completed"
    async with patience("the engine to close"):
        await engine.close()
    refuse_more(engine, transfer(a, b, 1))


async def test_no_more_waits_than_may(
    process: LedgerProcess, engine: CommitEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_engine, "WAITING_LIMIT", 5)
    a, b = await process.open(2, balance=1000)
    last = transfer(a, b, 1, key="one too many")
    with held_commits() as commits:
        taken = [engine.enqueue(transfer(a, b, 1))]
        await commits.reached.wait()
        taken += [engine.enqueue(transfer(a, b, 1)) for _ in range(5)]
        refuse_more(engine, last)
        commits.release()
        await outcomes_of(taken)
    # What was refused has left nothing behind that would keep it from being sent again.
    assert told(await engine.post(last)) == "completed"


def refuse_more(engine: CommitEngine, command: PostingCommand) -> None:
    """See that the engine takes no command, alone or as an atomic group, and says when to come again."""
    for attempt in (lambda: engine.enqueue(command), lambda: engine.enqueue_atomic([command])):
        with pytest.raises(TransientError) as refused:
            attempt()
        assert (refused.value.code, refused.value.retry_after_seconds) == ("overloaded", 1)
