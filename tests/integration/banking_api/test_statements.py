"""What readers see of the journal as far as it concerns them: statements, and what came of transactions."""

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID, uuid4

import httpx
import pytest

from daemons.banking_api.kinds.adjustment import Adjustment
from daemons.banking_api.kinds.reversal import Reversal, ReverseTransaction
from daemons.banking_api.kinds.withdrawal import Withdrawal
from daemons.banking_api.ledger.record import Act, Record
from daemons.banking_api.transactions.statements import StatementLine, Statements
from daemons.banking_api.transactions.views import statement_line_view, transaction_in_full
from daemons.banking_api.user_directory import UserDirectory
from daemons.contracts.errors import NotFoundError
from daemons.contracts.names import Direction, RecordStatus
from daemons.contracts.permissions import Role
from daemons.contracts.wire import format_instant
from daemons.shared.audit.record import SHELL
from daemons.shared.auth.callers import Caller
from tests.support.daemon_keys import calls_of
from tests.support.ledgers import OPERATOR, OWNER, LedgerProcess, funding, opening, transfer

ALICE = Caller(user_id=OWNER, session_id=UUID(int=1), role=Role.USER, display_name="Alice")
BOB = replace(ALICE, user_id=UUID(int=8), display_name="Bob")
CAROL = replace(ALICE, user_id=UUID(int=11), display_name="Carol")
SUPPORT = replace(ALICE, user_id=UUID(int=9), role=Role.SUPPORT, display_name="Olga")
IBAN = "DE89370400440532013000"
BOBS = "1000000009"


class KnownNames(UserDirectory):
    """A directory that knows two people without asking, and notes of whom it was asked."""

    def __init__(self) -> None:
        super().__init__(httpx.AsyncClient(), calls_of("banking_api"))
        self.asked: list[set[UUID]] = []

    async def names(self, user_ids: Iterable[UUID]) -> dict[UUID, str | None]:
        wanted = set(user_ids)
        self.asked.append(wanted)
        return {id_: {OWNER: "Alice", BOB.user_id: "Bob"}.get(id_) for id_ in wanted}


class Reading:
    """Alice's account with a history, Bob's, and what reads them."""

    def __init__(self, process: LedgerProcess) -> None:
        self.process = process
        self.directory = KnownNames()
        self.statements = Statements(process.records, process.accounts, self.directory)

    async def begin(self) -> str:
        [alices] = await self.process.open(1, balance=100)
        await self.process.post([replace(opening(BOBS), initiator=BOB.user_id)])
        return alices

    async def lines(self, caller: Caller, account: str) -> list[StatementLine]:
        await self.statements.owner_of(caller, account)
        found, cursor = await self.statements.account_history(account, limit=20, cursor=None)
        assert cursor is None
        return found


def sides(line: StatementLine) -> tuple[int, int | None, int | None]:
    return line.amount_minor, line.balance_after_minor, line.sequence


def other_party(line: StatementLine) -> tuple[str | None, str | None]:
    return line.counterparty_account, line.counterparty_name


def withdrawal(account: str, minor: int, *, iban: str | None = IBAN) -> Withdrawal:
    return Withdrawal(
        initiator=OWNER,
        idempotency_key=str(uuid4()),
        from_account=account,
        amount_minor=minor,
        currency="EUR",
        reference="invoice",
        name=iban and "Zoe Lang",
        iban=iban,
    )


def reversal(original: Record, amount: str, reason: str) -> Reversal:
    asked = ReverseTransaction(amount=amount, reason=reason)
    return Reversal.of(
        original, asked, initiator=OPERATOR, idempotency_key=str(uuid4()), act=Act(actor=SHELL)
    )


async def test_a_statement_shows_each_line_as_its_account_sees_it(process: LedgerProcess) -> None:
    reading = Reading(process)
    alices = await reading.begin()
    [paid] = await process.post([replace(transfer(alices, BOBS, 30), reference="rent")])
    await process.post([replace(transfer(BOBS, alices, 5), initiator=BOB.user_id)])
    await process.post([transfer(alices, BOBS, 500), withdrawal(alices, 7), withdrawal(alices, 8, iban=None)])
    lines = await reading.lines(ALICE, alices)
    assert [sides(line) for line in lines] == [
        (-8, 60, 5),
        (-7, 68, 4),
        (-500, None, None),
        (5, 75, 3),
        (-30, 70, 2),
        (100, 100, 1),
    ]
    assert [other_party(line) for line in lines] == [
        (None, None),
        (IBAN, "Zoe Lang"),
        # A failed attempt tells nothing but the number that was typed.
        (BOBS, None),
        (BOBS, "Bob"),
        (BOBS, "Bob"),
        (None, None),
    ]
    assert [line.record.kind for line in lines[:2]] == ["withdrawal", "withdrawal"]
    # All names of a page are looked up at once.
    assert reading.directory.asked == [{BOB.user_id}]
    bobs = await reading.lines(BOB, BOBS)
    assert [(sides(line), other_party(line)) for line in bobs] == [
        ((-5, 25, 2), (alices, "Alice")),
        ((30, 30, 1), (alices, "Alice")),
    ]
    view = statement_line_view(lines[4])
    assert view.model_dump() == {
        "transaction_id": str(paid.record.id),
        "kind": "transfer",
        "status": RecordStatus.COMPLETED,
        "amount": "-0.30",
        "currency": "EUR",
        "balance_after": "0.70",
        "sequence": 2,
        "counterparty": {"account_id": BOBS, "display_name": "Bob"},
        "reference": "rent",
        "description": None,
        "failure": None,
        "created_at": paid.record.at,
    }
    failed = statement_line_view(lines[2])
    assert failed.failure is not None
    assert (failed.status, failed.failure.code) == (RecordStatus.FAILED, "insufficient_funds")
    assert failed.failure.detail == f"Account {alices} holds 0.75 EUR."
    assert (failed.amount, failed.balance_after, failed.sequence) == ("-5.00", None, None)
    assert statement_line_view(lines[0]).counterparty is None
    assert statement_line_view(lines[1]).description == "Withdrawal to Zoe Lang (DE89…3000)"


async def test_a_statement_is_its_owners_and_those_who_read_all(process: LedgerProcess) -> None:
    reading = Reading(process)
    alices = await reading.begin()
    for caller, account in ((BOB, alices), (SUPPORT, "1234567897")):
        with pytest.raises(NotFoundError) as missing:
            await reading.statements.owner_of(caller, account)
        assert (missing.value.code, account in missing.value.message) == ("account_not_found", True)
    assert len(await reading.lines(SUPPORT, alices)) == 1
    await process.post([transfer(alices, BOBS, 1), transfer(alices, BOBS, 2)])
    newest, cursor = await reading.statements.account_history(alices, limit=2, cursor=None)
    rest, end = await reading.statements.account_history(alices, limit=2, cursor=cursor)
    assert [line.amount_minor for line in newest + rest] == [-2, -1, 100]
    assert end is None


async def test_a_transaction_is_told_with_how_much_of_it_was_taken_back_to_whom_that_concerns(
    process: LedgerProcess,
) -> None:
    reading = Reading(process)
    statements = reading.statements
    alices = await reading.begin()
    await process.post([replace(opening("1000000018"), initiator=CAROL.user_id)])
    [paid] = await process.post([transfer(alices, BOBS, 40)])
    id_ = paid.record.id
    for reader in (ALICE, BOB, SUPPORT):
        found = await statements.transaction(reader, id_)
        assert (found.record, found.taken_back_minor, found.follow_ups) == (paid.record, 0, [])
    for reader, missing_id in ((CAROL, id_), (SUPPORT, uuid4())):
        with pytest.raises(NotFoundError) as missing:
            await statements.transaction(reader, missing_id)
        assert missing.value.code == "transaction_not_found"
    correction = Adjustment(
        initiator=OPERATOR,
        idempotency_key=str(uuid4()),
        act=Act(actor=SHELL),
        account_id=alices,
        direction=Direction.CREDIT,
        amount_minor=3,
        currency="EUR",
        reason="a fee",
        corrects=id_,
    )
    await process.post([reversal(paid.record, "0.15", "part")])
    await process.post([correction])
    [rest] = await process.post([reversal(paid.record, "0.05", "more")])
    whole = await statements.transaction(ALICE, id_)
    assert whole.taken_back_minor == 20
    assert [(later.kind, later.data["amount"]) for later in whole.follow_ups] == [
        ("reversal", 5),
        ("adjustment", 3),
        ("reversal", 15),
    ]
    # What the bank corrected on her account is none of his business; how much was taken back is.
    his = await statements.transaction(BOB, id_)
    assert (his.taken_back_minor, [later.data["amount"] for later in his.follow_ups]) == (20, [5, 15])
    assert len((await statements.transaction(SUPPORT, id_)).follow_ups) == 3
    shown = transaction_in_full(his).model_dump(mode="json")
    assert (shown["id"], shown["kind"]) == (str(id_), "transfer")
    assert shown["taken_back"] == {"amount": "0.20", "currency": "EUR"}
    assert shown["follow_ups"][0] == {
        "id": str(rest.record.id),
        "kind": "reversal",
        "amount": {"amount": "0.05", "currency": "EUR"},
        "created_at": format_instant(rest.record.at),
    }
    assert [one["amount"]["amount"] for one in shown["follow_ups"]] == ["0.05", "0.15"]


async def test_what_somebody_asked_for_is_listed_newest_first_by_outcome(process: LedgerProcess) -> None:
    reading = Reading(process)
    statements = reading.statements
    alices = await reading.begin()
    await process.post([transfer(alices, BOBS, 1), transfer(alices, BOBS, 999), transfer(alices, BOBS, 2)])
    await process.post([replace(funding(BOBS, 5), initiator=BOB.user_id)])

    async def listed(initiator: UUID | None, status: RecordStatus | None) -> list[int]:
        amounts: list[int] = []
        cursor = None
        while True:
            page, cursor = await statements.initiated(initiator, status=status, limit=2, cursor=cursor)
            amounts += [found.data["amount"] for found in page]
            if cursor is None:
                return amounts

    assert await listed(OWNER, None) == [2, 999, 1, 100]
    assert await listed(OWNER, RecordStatus.FAILED) == [999]
    assert await listed(OWNER, RecordStatus.COMPLETED) == [2, 1, 100]
    assert await listed(None, RecordStatus.COMPLETED) == [5, 2, 1, 100]
    assert await listed(CAROL.user_id, None) == []
