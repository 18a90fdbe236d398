"""A commit of unknown outcome is read back: what it has posted, and what had been posted before."""

from dataclasses import replace

import pytest

from daemons.banking_api.kinds.freeze import Freeze
from daemons.contracts.errors import ConflictError, OutcomeUnknownError
from daemons.shared.ids import new_id
from tests.support.commits import unanswered_commits
from tests.support.ledgers import OPERATOR, LedgerProcess, funding, ledger_process, opening, transfer


async def test_what_had_been_posted_before_is_told_as_replayed(process: LedgerProcess) -> None:
    a, b = await process.open(2, balance=100)
    [first] = await process.post([transfer(a, b, 10, key="one")])
    group = [
        transfer(a, b, 10, key="one"),
        transfer(a, b, 20, key="two"),
        transfer(a, b, 30, key="one"),
    ]
    with unanswered_commits():
        replay, fresh, reused = await process.post(group)
    assert (replay.record.id, replay.replayed, replay.key_reused) == (first.record.id, True, False)
    assert (fresh.record.data["amount"], fresh.replayed, fresh.key_reused) == (20, False, False)
    assert (reused.replayed, reused.key_reused) == (False, True)
    found = await process.exact(a, b)
    assert (found[a].balance_minor, found[b].balance_minor) == (70, 130)


async def test_what_is_not_found_stays_unknown_and_may_be_repeated(process: LedgerProcess) -> None:
    a, b = await process.open(2, balance=100)
    with unanswered_commits(undone=True), pytest.raises(OutcomeUnknownError):
        await process.post([transfer(a, b, 10, key="one")])
    [outcome] = await process.post([transfer(a, b, 10, key="one")])
    assert (outcome.record.data["amount"], outcome.replayed) == (10, False)
    found = await process.exact(a, b)
    assert (found[a].balance_minor, found[b].balance_minor) == (90, 110)


async def test_one_command_that_is_not_found_leaves_its_whole_group_unknown(process: LedgerProcess) -> None:
    """A replay beside it is stored for sure, and says nothing of what came with it."""
    a, b = await process.open(2, balance=100)
    await process.post([transfer(a, b, 10, key="known")])
    with unanswered_commits(undone=True), pytest.raises(OutcomeUnknownError):
        await process.post([transfer(a, b, 10, key="known"), transfer(a, b, 20, key="new")])
    replay, fresh = await process.post([transfer(a, b, 10, key="known"), transfer(a, b, 20, key="new")])
    assert (replay.replayed, fresh.replayed) == (True, False)
    found = await process.exact(a, b)
    assert (found[a].balance_minor, found[b].balance_minor) == (70, 130)


async def test_what_would_be_refused_now_is_found_by_its_key_where_it_was_done_before(
    process: LedgerProcess, mongo_uri: str, database_name: str
) -> None:
    """Such refusals are not kept, so no index tells the next ledger that the key is stored."""
    a, b = await process.open(2)
    frozen = Freeze(initiator=OPERATOR, idempotency_key="freeze", account_id=a, reason="a test")
    opened = opening("last", most_per_user=3)
    day = {"alone_limit_minor": 100, "day": "2026-11-30"}
    funded = replace(funding(b, 70, key="fund"), **day)
    done = await process.post([funded, opened, frozen])
    async with ledger_process(mongo_uri, database_name) as other:
        for command, first in zip([funded, opened, frozen], done, strict=True):
            [again] = await other.post([command])
            assert (again.record.id, again.replayed, again.key_reused) == (first.record.id, False, False)
        # Sent again by its initiator it is another command under the same key.
        [replayed] = await other.post([replace(funded, id=new_id())])
        assert (replayed.record.id, replayed.replayed) == (done[0].record.id, True)
        with pytest.raises(ConflictError):
            await other.post([replace(frozen, idempotency_key="another")])


@pytest.mark.parametrize("atomic", [False, True])
async def test_what_breaks_after_the_commit_is_not_told_as_not_done(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch, *, atomic: bool
) -> None:
    a, b = await process.open(2, balance=100)

    def broken(*_: object) -> None:
        raise RuntimeError("by the test")

    monkeypatch.setattr(process.pipeline, "_committed", broken)
    carry_out = process.post_atomic if atomic else process.post
    outcomes = await carry_out([transfer(a, b, 10), transfer(a, b, 20)])
    assert [outcome.replayed for outcome in outcomes] == [False, False]
    assert (await process.exact(b))[b].balance_minor == 130
    monkeypatch.undo()
    assert await process.pay(a, b, 1) == "completed"
