"""Baselines that only write: bare inserts of journal documents (ii), and one bare transaction each."""

from uuid import UUID

from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.documents import record_document
from daemons.banking_api.ledger.record import Outcome, Record
from daemons.banking_api.ledger.schema import ensure_schema
from daemons.shared.mongo import Client, Document, Session, transaction_options
from tests.bench.contenders import Contender, Counted
from tests.bench.ledger import FUNDS_MINOR, SEQUENCE_OF_FUNDED, BenchLedger
from tests.bench.one_by_one import OUTBOX, decide_one, event_owed
from tests.bench.payments import Books, Payments


class BareInserts:
    """Inserts the journal documents of random payments, with the ledger's indexes and nothing else."""

    def __init__(self, client: Client, name: str, owner_of: dict[str, UUID]) -> None:
        self._database = client[name]
        self._payments = Payments(owner_of)
        self._books = Books(owner_of, balance_minor=FUNDS_MINOR, sequence=SEQUENCE_OF_FUNDED)
        self._inserted = 0

    async def prepare(self) -> None:
        """Make collections and indexes as banking_api does."""
        await ensure_schema(self._database)

    def batches(self, count: int, size: int) -> list[list[Document]]:
        """Make so many batches of documents; encoding them for the wire is part of the insert."""
        return [
            [record_document(record) for record in self._books.records(self._payments.between_any(size))]
            for _ in range(count)
        ]

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
    """One transaction per payment in three round trips, each by the driver's own call, and no read.

    Journal, outbox, commit: the fewest with which a record and the event it owes can be written apart. All is
    decided before the clock starts.
    """

    def __init__(self, ledger: BenchLedger) -> None:
        self._ledger = ledger
        self._books = Books(ledger.owner_of, balance_minor=FUNDS_MINOR, sequence=SEQUENCE_OF_FUNDED)

    def records(self, count: int) -> list[Record]:
        """Decide random payments one by one; they must be written in this order, by one writer."""
        return [self._decide(command) for command in self._ledger.payments.between_any(count)]

    async def write(self, record: Record) -> None:
        """Write one decided payment in a transaction of its own."""
        ledger = self._ledger
        journal, event = record_document(record), event_owed(record)

        async def body(session: Session) -> None:
            await ledger.database["journal"].insert_one(journal, session=session)
            await ledger.database[OUTBOX].insert_one(event, session=session)

        async with ledger.client.start_session() as session:
            await session.with_transaction(body, **transaction_options())
        ledger.acknowledge(Outcome(record))

    def contender(self) -> Contender:
        """One transaction at a time."""
        return Contender("bare transaction", Counted(self.records, self.write, in_flight=1, first_rate=100))

    async def prove(self) -> None:
        """Prove the ledger they were written to."""
        await self._ledger.prove(payments_are_sealed=False)

    def _decide(self, command: Transfer) -> Record:
        [record] = decide_one(command, self._books.accounts).records
        return record
