"""The relay is fed with the whole journal, whoever wrote to it and whatever was not said of a commit."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from daemons.banking_api.books.events import topic_of
from daemons.banking_api.ledger import relay
from daemons.banking_api.ledger.record import Record
from daemons.banking_api.ledger.relay import Feed
from daemons.banking_api.ledger.seal import Seal
from tests.support.commits import unanswered_commits
from tests.support.ledgers import LedgerProcess, ledger_process, transfer, undone


@pytest_asyncio.fixture
async def fed(process: LedgerProcess) -> AsyncIterator[Feed]:
    feed = Feed(process.journal, topic_of)

    def committed(seal: Seal, records: list[Record]) -> None:
        feed.add(seal, records)

    process.pipeline._committed = committed  # type: ignore[assignment]
    yield feed


async def numbers(feed: Feed, after: int) -> list[int]:
    return [group.number for group in await feed.after(after)]


async def test_seals_of_another_process_are_not_passed_over(
    process: LedgerProcess, fed: Feed, mongo_uri: str, database_name: str
) -> None:
    a, b = await process.open(2, balance=100)
    assert await process.pay(a, b, 1) == "completed"
    [*_, last] = await numbers(fed, 0)
    async with ledger_process(mongo_uri, database_name) as other:
        for _ in range(2):
            assert await other.pay(a, b, 1) == "completed"
    assert await process.pay(a, b, 1) == "completed"
    assert await numbers(fed, last) == [last + 1, last + 2, last + 3]


async def test_a_commit_that_was_not_answered_is_not_passed_over(process: LedgerProcess, fed: Feed) -> None:
    a, b = await process.open(2, balance=100)
    [*_, last] = await numbers(fed, 0)
    with unanswered_commits():
        assert await process.pay(a, b, 1) == "completed"
    assert await process.pay(a, b, 1) == "completed"
    assert await numbers(fed, last) == [last + 1, last + 2]


async def test_what_is_at_hand_is_told_from_where_it_is_wanted(process: LedgerProcess, fed: Feed) -> None:
    a, b = await process.open(2, balance=100)
    for _ in range(4):
        assert await process.pay(a, b, 1) == "completed"
    everything = await numbers(fed, 0)
    assert everything == list(range(1, len(everything) + 1))
    assert await numbers(fed, everything[-2]) == [everything[-1]]
    assert await numbers(fed, everything[-1]) == []


async def test_no_more_is_read_than_goes_out_at_once(
    process: LedgerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = await process.open(2, balance=100)
    feed = Feed(process.journal, topic_of)
    for _ in range(3):
        await process.post([transfer(a, b, 1) for _ in range(4)])
    [*_, last] = await numbers(feed, 0)
    monkeypatch.setattr(relay, "EVENTS_AT_ONCE", 5)
    assert await numbers(feed, last - 3) == [last - 2, last - 1]
    assert await numbers(feed, last - 1) == [last]
    monkeypatch.setattr(relay, "EVENTS_AT_ONCE", 3)
    assert await numbers(feed, last - 3) == [last - 2]


async def test_a_group_that_was_undone_leaves_no_seal_behind(process: LedgerProcess) -> None:
    a, b = await process.open(2, balance=100)
    with undone(process):
        await process.post([transfer(a, b, 1)])
    assert await process.pay(a, b, 2) == "completed"
    groups = await Feed(process.journal, topic_of).after(0)
    last = [record.data["amount"] for records in groups[-1].by_topic.values() for record in records]
    assert (last, [group.number for group in groups]) == ([2], list(range(1, len(groups) + 1)))
