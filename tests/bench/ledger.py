"""A ledger database with funded accounts, the real engine over it, and the proof that no money was lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from daemons.banking_api.domain.account import Account, AccountStatus, AccountType
from daemons.banking_api.domain.decision import Outcome
from daemons.banking_api.domain.journal import (
    PostingCommand,
    TransactionKind,
    TransactionStatus,
    settlement_account,
)
from daemons.banking_api.services.commit_engine import CommitEngine
from daemons.banking_api.storage.just_committed import JustCommitted
from daemons.banking_api.storage.mongo_accounts import MongoAccounts, _to_document
from daemons.banking_api.storage.mongo_journal import MongoJournal

from daemons.banking_api.accounts.number import SMALLEST_PAYLOAD, account_number
from daemons.banking_api.app import running_ledger
from daemons.banking_api.books.proof import prove_ledger
from daemons.banking_api.books.snapshot import SnapshotOpener
from daemons.banking_api.ledger.schema import ensure_schema
from daemons.shared.clock import utc_now
from daemons.shared.mongo import Client
from daemons.shared.outbox.store import OutboxStore
from tests.bench.payments import CURRENCY, Payments

FUNDS_MINOR = 10**12
ACCOUNTS = 10_000
_PAYLOAD_STEP = 7919
_FUNDED_AT_ONCE = 2_000


class BenchLedger:
    """Counts what was acknowledged, so that the proof can tell a lost or doubled payment."""

    def __init__(self, client: Client, name: str, owner_of: dict[str, UUID]) -> None:
        self.client = client
        self.database = client[name]
        self.owner_of = owner_of
        self.outbox = OutboxStore(self.database)
        self.payments = Payments(owner_of)
        self.acknowledged = 0

    def acknowledge(self, outcome: Outcome) -> None:
        """Count a payment that was told completed.

        Raises:
            AssertionError: it was anything else.
        """
        if outcome.transaction.status is not TransactionStatus.COMPLETED or outcome.replayed:
            raise AssertionError(f"a payment of the benchmark was not completed: {outcome}")
        self.acknowledged += 1

    async def prove(self) -> None:
        """Fold the whole journal.

        Raises:
            AssertionError: money or a payment was lost or made.
        """
        opener = SnapshotOpener(self.client, self.database, self.outbox)
        async with opener.open() as snapshot:
            proof = await prove_ledger(snapshot)
        if not proof.holds:
            raise AssertionError(f"the books do not hold: {proof.mismatches[:5]}")
        if proof.completed != self.acknowledged or proof.failed:
            raise AssertionError(
                f"{self.acknowledged} payments were acknowledged, the journal has {proof.completed}"
            )


async def create_ledger(
    client: Client, name: str, owners: Sequence[UUID], *, accounts: int = ACCOUNTS
) -> BenchLedger:
    """Open the accounts, dealt out to the owners in turn, and fund each through the real engine."""
    numbers = [account_number(SMALLEST_PAYLOAD + index * _PAYLOAD_STEP) for index in range(accounts)]
    owner_of = {number: owners[index % len(owners)] for index, number in enumerate(numbers)}
    ledger = BenchLedger(client, name, owner_of)
    await ensure_schema(ledger.database)
    await MongoAccounts(client, ledger.database, ledger.outbox).ensure_settlement_account(CURRENCY)
    documents = [_to_document(_account(number, owner)) for number, owner in owner_of.items()]
    await ledger.database["accounts"].insert_many(documents, ordered=False)
    async with running_engine(ledger) as engine:
        for start in range(0, accounts, _FUNDED_AT_ONCE):
            part = [_funding(number, owners[0]) for number in numbers[start : start + _FUNDED_AT_ONCE]]
            for outcome in await asyncio.gather(*(engine.post(command) for command in part)):
                ledger.acknowledge(outcome)
    return ledger


@asynccontextmanager
async def running_engine(ledger: BenchLedger) -> AsyncIterator[CommitEngine]:
    """Run the product's engine in this process; its events stay put."""
    just_committed = JustCommitted(MongoJournal(ledger.database))
    running = running_ledger(ledger.client, ledger.database, ledger.outbox, just_committed.add)
    async with running as (_, engine):
        yield engine


def _account(number: str, owner: UUID) -> Account:
    return Account(
        id=number,
        owner=owner,
        name=None,
        type=AccountType.CHECKING,
        status=AccountStatus.ACTIVE,
        status_reason=None,
        currency=CURRENCY,
        balance_minor=0,
        sequence=0,
        opened_at=utc_now(),
    )


def _funding(number: str, by: UUID) -> PostingCommand:
    return PostingCommand(
        kind=TransactionKind.FUNDING,
        initiator=by,
        sender_owner=None,
        idempotency_key=f"funding-{number}",
        from_account=settlement_account(CURRENCY),
        to_account=number,
        amount_minor=FUNDS_MINOR,
        currency=CURRENCY,
        reference=None,
    )
