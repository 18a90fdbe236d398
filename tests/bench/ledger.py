"""A ledger database with funded accounts, the real pipeline over it, and the proof that no money was lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from daemons.banking_api.accounts.number import SMALLEST_PAYLOAD, account_number
from daemons.banking_api.app import running_ledger
from daemons.banking_api.books.chain import UNSEALED
from daemons.banking_api.books.events import topic_of
from daemons.banking_api.books.proof import prove_ledger
from daemons.banking_api.books.snapshot import SnapshotOpener
from daemons.banking_api.kinds.funding import Funding
from daemons.banking_api.kinds.opening import Opening
from daemons.banking_api.ledger.journal import Journal
from daemons.banking_api.ledger.pipeline import Pipeline
from daemons.banking_api.ledger.record import Command, Outcome
from daemons.banking_api.ledger.relay import Feed
from daemons.banking_api.ledger.schema import ensure_schema
from daemons.contracts.names import AccountType, RecordStatus
from daemons.shared.clock import utc_now
from daemons.shared.mongo import Client
from tests.bench.payments import CURRENCY, Payments

FUNDS_MINOR = 10**12
ACCOUNTS = 10_000
SEQUENCE_OF_FUNDED = 1
_PAYLOAD_STEP = 7919
_OPENED_AT_ONCE = 100
"""Each owner's count of accounts is read on its own."""
_FUNDED_AT_ONCE = 500


class BenchLedger:
    """Counts what was acknowledged, so that the proof can tell a lost or doubled payment."""

    def __init__(self, client: Client, name: str, owner_of: dict[str, UUID]) -> None:
        self.client = client
        self.database = client[name]
        self.owner_of = owner_of
        self.payments = Payments(owner_of)
        self.acknowledged = 0

    def acknowledge(self, outcome: Outcome) -> None:
        """Count a payment that was told completed.

        Raises:
            AssertionError: it was anything else.
        """
        if outcome.record.status is not RecordStatus.COMPLETED or outcome.replayed or outcome.key_reused:
            raise AssertionError(f"a payment of the benchmark was not completed: {outcome}")
        self.acknowledged += 1

    async def prove(self, *, payments_are_sealed: bool = True) -> None:
        """Fold the whole journal; what baselines write has no seals, and nothing else may be amiss with it.

        Raises:
            AssertionError: money or a payment was lost or made.
        """
        async with SnapshotOpener(self.client, self.database).open() as snapshot:
            proof = await prove_ledger(snapshot)
        unsealed = 0 if payments_are_sealed else self.acknowledged - len(self.owner_of)
        wrong = [mismatch for mismatch in proof.mismatches if not unsealed or mismatch.problem != UNSEALED]
        if wrong or proof.mismatch_count != unsealed:
            raise AssertionError(f"the books do not hold: {(wrong or proof.mismatches)[:5]}")
        if sums := {currency: it.sum_minor for currency, it in proof.currencies.items() if it.sum_minor}:
            raise AssertionError(f"the books do not sum to zero: {sums}")
        if proof.completed != self.acknowledged or proof.failed:
            raise AssertionError(
                f"{self.acknowledged} payments were acknowledged, the journal has {proof.completed}"
            )


async def create_ledger(
    client: Client, name: str, owners: Sequence[UUID], *, accounts: int = ACCOUNTS
) -> BenchLedger:
    """Open the accounts, dealt out to the owners in turn, and fund each: all of it by commands."""
    numbers = [account_number(SMALLEST_PAYLOAD + index * _PAYLOAD_STEP) for index in range(accounts)]
    owner_of = {number: owners[index % len(owners)] for index, number in enumerate(numbers)}
    ledger = BenchLedger(client, name, owner_of)
    await ensure_schema(ledger.database)
    async with running_pipeline(ledger) as pipeline:
        for part in _parts(numbers, _OPENED_AT_ONCE):
            await _carry_out(pipeline, [_opening(number, owner_of[number]) for number in part])
        for part in _parts(numbers, _FUNDED_AT_ONCE):
            for outcome in await _carry_out(pipeline, [_funding(number, owners[0]) for number in part]):
                ledger.acknowledge(outcome)
    # A busy machine does not write all of it down in time, and baselines know no more than the collection.
    funded = {"balance": FUNDS_MINOR, "sequence": SEQUENCE_OF_FUNDED}
    await ledger.database["accounts"].update_many({"sequence": 0}, {"$set": funded})
    return ledger


@asynccontextmanager
async def running_pipeline(ledger: BenchLedger, journal: Journal | None = None) -> AsyncIterator[Pipeline]:
    """Run the product's pipeline in this process; its events stay put, at hand for a relay as in a daemon."""
    feed = Feed(Journal(ledger.database), topic_of)
    async with running_ledger(
        ledger.client, ledger.database, committed=feed.add, journal=journal
    ) as pipeline:
        yield pipeline


def _parts(numbers: list[str], size: int) -> list[list[str]]:
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


async def _carry_out(pipeline: Pipeline, commands: Sequence[Command]) -> list[Outcome]:
    return await asyncio.gather(*(pipeline.submit(command) for command in commands))


def _opening(number: str, owner: UUID) -> Opening:
    return Opening(
        initiator=owner,
        idempotency_key=f"opening-{number}",
        numbers=(number,),
        type=AccountType.CHECKING,
        currency=CURRENCY,
        name=None,
        most_per_user=None,
        opened_at=utc_now(),
    )


def _funding(number: str, by: UUID) -> Funding:
    return Funding(
        initiator=by,
        idempotency_key=f"funding-{number}",
        to_account=number,
        amount_minor=FUNDS_MINOR,
        currency=CURRENCY,
        reference=None,
    )
