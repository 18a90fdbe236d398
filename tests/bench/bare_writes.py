"""Baselines that only write: bare inserts of journal documents (ii), and one bare transaction each."""

from uuid import UUID

from daemons.banking_api.domain.decision import GroupDecision
from daemons.banking_api.domain.journal import PostingCommand
from daemons.banking_api.storage.journal_documents import to_document

from daemons.banking_api.ledger.schema import ensure_schema
from daemons.shared.ids import new_id
from daemons.shared.mongo import Client, Document, Session, transaction_options
from tests.bench.contenders import Contender, Counted
from tests.bench.ledger import FUNDS_MINOR, BenchLedger
from tests.bench.one_by_one import decide_one
from tests.bench.payments import Books, Payments

_SEQUENCE_OF_FUNDED = 1


class BareInserts:
    """Inserts the journal documents of random payments, with the ledger's indexes and nothing else."""

    def __init__(self, client: Client, name: str, owner_of: dict[str, UUID]) -> None:
        self._database = client[name]
        self._payments = Payments(owner_of)
        self._books = Books(owner_of, balance_minor=FUNDS_MINOR, sequence=_SEQUENCE_OF_FUNDED)
        self._inserted = 0

    async def prepare(self) -> None:
        """Make collections and indexes as banking_api does."""
        await ensure_schema(self._database)

    def batches(self, count: int, size: int) -> list[list[Document]]:
        """Make so many batches of documents; encoding them for the wire is part of the insert."""
        return [self._books.documents(self._payments.between_any(size)) for _ in range(count)]

    async def insert(self, batch: list[Document]) -> None:
        """Insert one batch, acknowledged by the majority's journal as the client is set up to ask."""
        answer = await self._database["journal"].insert_many(batch, ordered=False)
        self._inserted += len(answer.inserted_ids)

    def contender(self, *, size: int, flights: int) -> Contender:
        """Inserts of so many documents, so many in flight."""
        work = Counted(
            lambda count: self.batches(count, size),
            self.insert,
            in_flight=flights,
            first_rate=5_000,
            each=size,
        )
        return Contender(f"insert_many of {size}, {flights} in flight", work)

    async def prove(self) -> None:
        """Count what is stored.

        Raises:
            AssertionError: it is not what was acknowledged.
        """
        stored = await self._database["journal"].count_documents({})
        if stored != self._inserted:
            raise AssertionError(f"{self._inserted} documents were inserted, {stored} are stored")


class BareTransactions:
    """One transaction per payment, the same writes as the driver's `insert_one` makes them, and no read.

    All is decided before the clock starts.
    """

    def __init__(self, ledger: BenchLedger) -> None:
        self._ledger = ledger
        self._books = Books(ledger.owner_of, balance_minor=FUNDS_MINOR, sequence=_SEQUENCE_OF_FUNDED)

    def decisions(self, count: int) -> list[GroupDecision]:
        """Decide random payments one by one; they must be written in this order, by one writer."""
        return [self._decide(command) for command in self._ledger.payments.between_any(count)]

    async def write(self, decision: GroupDecision) -> None:
        """Write one decided payment in a transaction of its own."""
        ledger = self._ledger
        [transaction] = decision.transactions
        journal = to_document(transaction)
        event = {"_id": new_id(), "events": 1, "body": {"transactions": [transaction.id]}}

        async def body(session: Session) -> None:
            await ledger.database["journal"].insert_one(journal, session=session)
            await ledger.database["outbox"].insert_one(event, session=session)

        async with ledger.client.start_session() as session:
            await session.with_transaction(body, **transaction_options())
        ledger.acknowledge(decision.outcomes[0])

    def contender(self) -> Contender:
        """One transaction at a time."""
        return Contender("bare transaction", Counted(self.decisions, self.write, in_flight=1, first_rate=100))

    async def prove(self) -> None:
        """Prove the ledger they were written to."""
        await self._ledger.prove()

    def _decide(self, command: PostingCommand) -> GroupDecision:
        return decide_one(command, self._books.accounts)
