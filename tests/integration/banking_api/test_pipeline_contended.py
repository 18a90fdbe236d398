"""Several processes over one ledger, each sure of what it knows: money must not mind."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from daemons.banking_api.ledger.journal import WITH_NEWEST, Journal, SealedGroup
from daemons.banking_api.ledger.schema import HISTORY_INDEX
from daemons.contracts.errors import ConflictError
from daemons.contracts.names import AccountStatus
from tests.support.ledgers import OWNER, LedgerProcess, funding, ledger_process, told, transfer, undone

Pair = tuple[LedgerProcess, LedgerProcess]


@pytest_asyncio.fixture
async def processes(mongo_uri: str, database_name: str) -> AsyncIterator[Pair]:
    """Two processes over a ledger of their own, of which each takes itself for the ledger."""
    async with (
        ledger_process(mongo_uri, database_name) as one,
        ledger_process(mongo_uri, database_name) as other,
    ):
        yield one, other
        proof = await one.prove()
        assert proof.holds, proof.mismatches
        await one.database.client.drop_database(database_name)


async def test_each_posts_to_accounts_that_the_other_knows(processes: Pair) -> None:
    one, other = processes
    a, b = await one.open(2, balance=100)
    for number in range(6):
        assert await (one, other)[number % 2].pay(a, b, 10) == "completed"
    found = await one.exact(a, b)
    assert [(account.balance_minor, account.sequence) for account in (found[a], found[b])] == [
        (40, 7),
        (160, 7),
    ]


async def test_what_one_has_spent_the_other_cannot_spend_again(processes: Pair) -> None:
    one, other = processes
    a, b = await one.open(2, balance=100)
    assert await other.pay(a, b, 60) == "completed"
    # It knows of 100.
    assert await one.pay(a, b, 60) == "insufficient_funds"
    assert (await one.exact(a))[a].balance_minor == 40


async def test_a_refusal_for_want_of_funds_that_have_come_is_not_told(processes: Pair) -> None:
    one, other = processes
    a, b = await one.open(2, balance=50)
    assert await one.pay(a, b, 50) == "completed"
    assert await other.fund(a, 30) == "completed"
    # It knows of 0.
    assert await one.pay(a, b, 30) == "completed"
    assert await one.pay(a, b, 1) == "insufficient_funds"


async def test_a_group_whose_accounts_are_all_out_of_date_is_decided_again_as_a_whole(
    processes: Pair,
) -> None:
    one, other = processes
    accounts = await one.open(8, balance=10)
    for account in accounts:
        assert await other.fund(account, 5) == "completed"
    chain = [
        transfer(sender, receiver, 15)
        for sender, receiver in zip(accounts, accounts[1:] + accounts[:1], strict=True)
    ]
    refused = [transfer(account, accounts[0], 1000) for account in accounts[1:]]
    outcomes = await one.post([*chain, *refused])
    assert [told(outcome) for outcome in outcomes] == ["completed"] * 8 + ["insufficient_funds"] * 7
    found = await one.exact(*accounts)
    assert {account.balance_minor for account in found.values()} == {15}


async def test_an_old_key_is_known_to_a_process_that_has_never_seen_it(processes: Pair) -> None:
    one, other = processes
    a, b = await one.open(2, balance=100)
    first, _ = await one.post([transfer(a, b, 10, key="k"), transfer(a, b, 500, key="refused")])
    assert await one.pay(a, b, 1) == "completed"
    # Everything is against it at once: both accounts are out of date, and both keys are used.
    assert await other.pay(b, a, 1) == "completed"
    again, refused = await one.post([transfer(a, b, 10, key="k"), transfer(a, b, 500, key="refused")])
    assert (again.record.id, again.replayed) == (first.record.id, True)
    assert (told(refused), refused.replayed) == ("insufficient_funds", True)
    [reused] = await other.post([transfer(a, b, 11, key="k")])
    assert reused.key_reused


async def test_one_process_freezes_and_the_other_pays_no_more(processes: Pair) -> None:
    one, other = processes
    a, b, c = await one.open(3, balance=100)
    assert await one.pay(a, b, 1) == "completed"
    frozen = await other.freeze(a)
    assert (frozen.balance_minor, frozen.sequence) == (99, 3)
    assert await one.pay(a, b, 1) == "account_frozen"
    assert await one.pay(b, a, 1) == "account_frozen"
    assert await one.pay(b, c, 1) == "completed"
    await other.unfreeze(a)
    assert await one.pay(a, b, 1) == "completed"
    assert (await one.exact(a))[a].sequence == 5


async def test_a_refusal_that_is_not_kept_is_told_on_the_newest_state_only(processes: Pair) -> None:
    one, other = processes
    a, b = await one.open(2, balance=100)
    await one.freeze(a)
    await other.unfreeze(a)
    # It knows the account as frozen.
    frozen = await one.freeze(a)
    assert (frozen.terms.status, frozen.sequence) == (AccountStatus.FROZEN, 4)
    with pytest.raises(ConflictError):
        await other.freeze(a)
    assert await other.pay(b, a, 1) == "account_frozen"


async def test_a_process_that_was_killed_leaves_terms_behind_and_the_next_finds_them(
    mongo_uri: str, database_name: str
) -> None:
    async with ledger_process(mongo_uri, database_name) as killed:
        a, b = await killed.open(2, balance=100)
        await killed.freeze(a)
    async with ledger_process(mongo_uri, database_name) as next_one:
        assert await next_one.pay(a, b, 50) == "account_frozen"
        await next_one.unfreeze(a)
        assert await next_one.pay(a, b, 50) == "completed"


async def test_status_and_number_are_shown_as_of_one_moment(processes: Pair) -> None:
    one, other = processes
    [a] = await one.open(1)
    done = asyncio.Event()

    async def read() -> set[tuple[str, int]]:
        seen = set()
        while not done.is_set():
            shown = await other.accounts.find(a, owner=None)
            [listed], _ = await other.accounts.page(owner=OWNER, status=None, limit=1, cursor=None)
            assert shown is not None
            seen |= {(found.terms.status.value, found.sequence % 2) for found in (shown, listed)}
        return seen

    reading = [asyncio.create_task(read()) for _ in range(4)]
    for _ in range(60):
        await one.freeze(a)
        await one.unfreeze(a)
    done.set()
    seen = set().union(*await asyncio.gather(*reading))
    # The freezes have taken the odd numbers.
    assert seen == {("active", 0), ("frozen", 1)}


async def test_a_closed_account_holds_nothing_though_payments_come_at_the_same_time(processes: Pair) -> None:
    one, other = processes
    [payer] = await one.open(1, balance=1000)
    seen = set()
    for turn in range(30):
        [account] = await one.open(1)
        assert await one.pay(payer, account, 1) == "completed"
        assert await one.pay(account, payer, 1) == "completed"

        async def close(account: str = account, turn: int = turn) -> str:
            for _ in range(turn % 5):
                await other.exact(account)
            try:
                await other.close(account)
            except ConflictError as error:
                return error.code
            return "closed"

        closing, paying = await asyncio.gather(close(), one.pay(payer, account, 1))
        seen.add((closing, paying))
        found = (await one.exact(account))[account]
        assert (found.terms.status, found.balance_minor) == (
            (AccountStatus.CLOSED, 0) if closing == "closed" else (AccountStatus.ACTIVE, 1)
        )
    assert seen <= {("closed", "account_closed"), ("account_not_empty", "completed")}


async def test_processes_that_know_every_account_pay_at_random(processes: Pair) -> None:
    accounts = await processes[0].open(30, balance=100)
    dice = random.Random(11)  # noqa: S311 - a run must be repeatable

    def group() -> list[tuple[str, str, int]]:
        return [(*dice.sample(accounts, 2), dice.randint(1, 60)) for _ in range(dice.randint(1, 8))]

    async def pay(process: LedgerProcess, groups: list[list[tuple[str, str, int]]]) -> int:
        settled = 0
        for drawn in groups:
            settled += len(await process.post([transfer(*payment) for payment in drawn]))
        return settled

    plans = [[group() for _ in range(60)] for _ in range(4)]
    # Two lanes of each process.
    settled = await asyncio.gather(
        *(pay(process, plan) for process, plan in zip(processes * 2, plans, strict=True))
    )
    assert sum(settled) == sum(len(drawn) for plan in plans for drawn in plan)
    found = await processes[0].exact(*accounts)
    assert sum(account.balance_minor for account in found.values()) == 30 * 100
    assert min(account.balance_minor for account in found.values()) >= 0


async def test_a_hot_account_is_paid_by_both_at_once(processes: Pair) -> None:
    one, other = processes
    hot, *payers = await one.open(21, balance=50)

    async def pay(process: LedgerProcess, payers: list[str]) -> None:
        for _ in range(5):
            outcomes = await process.post([transfer(payer, hot, 10) for payer in payers])
            assert {told(outcome) for outcome in outcomes} == {"completed"}

    await asyncio.gather(pay(one, payers[:10]), pay(other, payers[10:]))
    assert (await one.exact(hot))[hot].balance_minor == 50 + 20 * 50


async def test_a_process_that_was_killed_leaves_numbers_behind_and_the_next_finds_them(
    mongo_uri: str, database_name: str
) -> None:
    async with ledger_process(mongo_uri, database_name) as killed:
        a, b = await killed.open(2, balance=100)
        for _ in range(5):
            await killed.pay(a, b, 10)
    async with ledger_process(mongo_uri, database_name) as next_one:
        assert await next_one.written(a) == (0, 0)
        assert (await next_one.exact(a))[a].balance_minor == 50
        # As written down it holds nothing.
        assert await next_one.pay(a, b, 50) == "completed"
        assert await next_one.pay(a, b, 1) == "insufficient_funds"
        proof = await next_one.prove()
        assert proof.holds, proof.mismatches


async def test_after_a_takeover_a_group_is_written_at_the_second_attempt(
    processes: Pair, mongo_uri: str, database_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = processes
    accounts = await one.open(20, balance=10)
    await one.cache.write_down()
    # It is killed after this: the collection lags behind for all of them.
    await one.post([transfer(account, accounts[0], 1) for account in accounts[1:]])
    append, attempts = Journal.append, []

    async def counted(journal: Journal, group: SealedGroup, **named: Any) -> None:
        attempts.append(len(group.records))
        await append(journal, group, **named)

    monkeypatch.setattr(Journal, "append", counted)
    async with ledger_process(mongo_uri, database_name) as next_one:
        outcomes = await next_one.post([transfer(account, accounts[0], 1) for account in accounts[1:]])
    assert {told(outcome) for outcome in outcomes} == {"completed"}
    assert attempts == [19, 19]


async def test_a_number_that_a_killed_process_has_taken_is_not_given_again(
    mongo_uri: str, database_name: str
) -> None:
    async with ledger_process(mongo_uri, database_name) as killed:
        [a] = await killed.open(1, balance=100)
    async with ledger_process(mongo_uri, database_name) as next_one:
        # As written down it has no entry yet.
        assert await next_one.fund(a, 1) == "completed"
        found = (await next_one.exact(a))[a]
        assert (found.balance_minor, found.sequence) == (101, 2)
        proof = await next_one.prove()
        assert proof.holds, proof.mismatches


async def test_a_process_that_stops_writes_down_what_it_knows(mongo_uri: str, database_name: str) -> None:
    async with ledger_process(mongo_uri, database_name) as process:
        a, b = await process.open(2, balance=100)
        await process.pay(a, b, 10)
        assert await process.written(a) == (0, 0)
        await process.cache.write_down()
        assert await process.written(a) == (90, 2)
        proof = await process.prove()
        assert proof.holds, proof.mismatches


async def test_what_is_written_down_late_never_hides_what_is_newer(processes: Pair) -> None:
    one, other = processes
    a, b = await one.open(2, balance=100)
    assert await one.pay(a, b, 10) == "completed"
    frozen = await other.freeze(a)
    # It still knows the state before the freeze.
    await one.cache.write_down()
    assert await one.written(a) == (90, frozen.sequence)


async def test_accounts_without_room_are_written_down_and_read_again(
    mongo_uri: str, database_name: str
) -> None:
    async with ledger_process(mongo_uri, database_name, kept=3) as process:
        accounts = await process.open(12, balance=100)
        dice = random.Random(5)  # noqa: S311 - a run must be repeatable
        for _ in range(60):
            sender, receiver = dice.sample(accounts, 2)
            assert await process.pay(sender, receiver, 1) == "completed"
            assert len(process.cache) <= 3
        known = set(process.cache._kept)
        found = await process.exact(*accounts)
        for account in set(accounts) - known:
            assert await process.written(account) == (found[account].balance_minor, found[account].sequence)
        proof = await process.prove()
        assert proof.holds, proof.mismatches


async def test_the_newest_state_is_the_fold_of_thousands_of_entries(processes: Pair) -> None:
    one, other = processes
    hot, *payers = await one.open(9, balance=1000)
    for turn in range(4):
        group = [transfer(payers[n % 8], hot, 1) for n in range(500)]
        group += [transfer(hot, payers[n % 8], 1) for n in range(100)]
        await (one, other)[turn % 2].post(group)
        # A failed attempt is the newest of its account.
        assert await one.pay(hot, payers[0], 10**9) == "insufficient_funds"
    balances: dict[str, int] = dict.fromkeys([hot, *payers], 0)
    numbers: dict[str, int] = dict.fromkeys([hot, *payers], 0)
    async for document in one.database["journal"].find():
        for entry in document.get("entries", ()):
            if entry["account"] in balances and entry["sequence"] and "attempt" not in entry:
                balances[entry["account"]] += entry["amount"]
                numbers[entry["account"]] += 1
    found = await one.exact(*balances)
    assert {id_: account.balance_minor for id_, account in found.items()} == balances
    assert {id_: account.sequence for id_, account in found.items()} == numbers
    assert numbers[hot] == 2401


async def test_the_newest_state_is_one_step_in_the_index(processes: Pair) -> None:
    one, _ = processes
    a, b = await one.open(2, balance=1000)
    await one.post([transfer(a, b, 1) for _ in range(300)])
    command = {"aggregate": "accounts", "pipeline": [{"$match": {"_id": a}}, WITH_NEWEST], "cursor": {}}
    explained = await one.database.command({"explain": command, "verbosity": "executionStats"})
    [lookup] = [stage for stage in explained["stages"] if "$lookup" in stage]
    assert lookup["indexesUsed"] == [HISTORY_INDEX]
    assert lookup["totalDocsExamined"] == 1


async def test_a_statement_goes_page_by_page_while_more_happens(processes: Pair) -> None:
    one, other = processes
    a, b = await one.open(2, balance=100)
    expected = [(await one.records.history(a, limit=1, cursor=None))[0][0].id]
    for number in range(12):
        process = (one, other)[number % 2]
        # Several attempts meet the same entry.
        [paid, *refused] = await process.post([transfer(a, b, 1), transfer(a, b, 999), transfer(a, b, 998)])
        expected += [paid.record.id, *(outcome.record.id for outcome in refused)]
        if number % 3 == 0:
            await other.freeze(a)
            await one.unfreeze(a)
    expected.reverse()
    pages, cursor = [], None
    while True:
        page, cursor = await other.records.history(a, limit=5, cursor=cursor)
        pages.append([found.id for found in page])
        if cursor is None:
            break
        # What is new comes before the first page, whatever it is.
        await one.post([transfer(a, b, 1), transfer(a, b, 999)])
        await other.freeze(a)
        await other.unfreeze(a)
    assert [id_ for page in pages for id_ in page] == expected
    assert {len(page) for page in pages[:-1]} == {5}
    assert await one.database["journal"].count_documents({"kind": {"$in": ["freeze", "unfreeze"]}}) > 8


async def test_refusals_on_nobodys_account_have_no_history_and_are_kept(processes: Pair) -> None:
    one, _ = processes
    [a] = await one.open(1, balance=100)
    for _ in range(3):
        assert await one.pay("nowhere", a, 1) == "account_not_found"
        assert await one.fund("nowhere", 1) == "account_not_found"
    assert await one.pay(a, "nowhere", 1) == "receiver_not_found"
    assert len((await one.records.history(a, limit=10, cursor=None))[0]) == 2


async def test_a_group_that_cannot_be_written_leaves_nothing_behind_in_what_is_known(
    processes: Pair,
) -> None:
    one, _ = processes
    a, b = await one.open(2, balance=100)
    assert await one.pay(a, b, 1) == "completed"
    with undone(one):
        await one.post([transfer(a, b, 50), funding(a, 7)])
    known = one.cache._kept[a]
    assert (known.balance_minor, known.sequence) == (99, 2)
    assert await one.pay(a, b, 99) == "completed"
