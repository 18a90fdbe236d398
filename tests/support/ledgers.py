"""The ledger as a process of banking_api has it, several over one database: each with a client of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID, uuid4

import pytest
from daemons.banking_api.domain import account as rules
from daemons.banking_api.domain.account import Account, AccountStatus, AccountType
from daemons.banking_api.domain.decision import LedgerAccount, Outcome, decide_atomic_group, decide_group
from daemons.banking_api.domain.journal import (
    BookingAct,
    JournalTransaction,
    PostingCommand,
    TransactionKind,
    settlement_account,
)
from daemons.banking_api.storage.account_history import AccountHistory
from daemons.banking_api.storage.journal_documents import AccountChange
from daemons.banking_api.storage.ledger_accounts import LedgerAccounts
from daemons.banking_api.storage.ledger_writers import LedgerWriters
from daemons.banking_api.storage.mongo_accounts import MongoAccounts
from daemons.banking_api.storage.mongo_ledger import MongoLedger, Witness
from daemons.banking_api.storage.working_set import ACCOUNTS_KEPT, WorkingSet
from pymongo.read_concern import ReadConcern

from daemons.banking_api.accounts.number import LARGEST_PAYLOAD, SMALLEST_PAYLOAD, account_number
from daemons.banking_api.books.proof import Proof, prove_ledger
from daemons.banking_api.books.snapshot import SnapshotOpener
from daemons.banking_api.ledger.schema import ensure_schema
from daemons.shared.clock import utc_now
from daemons.shared.ids import new_id
from daemons.shared.mongo import Client, Database, Session, connect
from daemons.shared.outbox.store import OutboxStore

OWNER = UUID(int=7)
CURRENCY = "EUR"
BANK = settlement_account(CURRENCY)


class LedgerProcess:
    """What one process knows and does; `kept` is how many accounts it has room for.

    Unless told that it is not `alone` it takes itself for the only writer, however many there are: the worst
    that a hint can be.
    """

    def __init__(
        self,
        client: Client,
        database: Database,
        *,
        kept: int = ACCOUNTS_KEPT,
        alone: bool = True,
        witness: Witness | None = None,
    ) -> None:
        outbox = OutboxStore(database)
        self.writers = LedgerWriters(database)
        self.writers.alone = alone
        self.ledger = MongoLedger(client, database, outbox, self.writers, witness)
        self.ledger._accounts._working_set = WorkingSet(limit=kept)
        self.accounts = MongoAccounts(client, database, outbox)
        self.history = AccountHistory(database)
        self.database = database
        self._client = client
        self._snapshots = SnapshotOpener(client, database, outbox)

    async def open(self, count: int, *, balance: int = 0) -> list[str]:
        """Open accounts of one owner, with money on them."""
        await self.accounts.ensure_settlement_account(CURRENCY)
        numbers = [
            account_number(SMALLEST_PAYLOAD + uuid4().int % (LARGEST_PAYLOAD - SMALLEST_PAYLOAD))
            for _ in range(count)
        ]
        for number in numbers:
            await self.accounts.insert(
                opened(number), idempotency_key=None, fingerprint=b"", tell=lambda _account: {}
            )
        if balance:
            await self.post([funding(number, balance) for number in numbers])
        return numbers

    async def post(self, commands: Sequence[PostingCommand]) -> list[Outcome]:
        """Post a group."""
        return await self.ledger.post(
            lambda: commands,
            lambda group, accounts, stored: decide_group(
                group, accounts=accounts, stored=stored, new_id=new_id, now=utc_now()
            ),
        )

    async def post_atomic(self, commands: Sequence[PostingCommand]) -> list[Outcome]:
        """Post all of a group or nothing."""
        return await self.ledger.post(
            lambda: commands,
            lambda group, accounts, stored: decide_atomic_group(
                group, accounts=accounts, stored=stored, new_id=new_id, now=utc_now()
            ),
            look_for_keys=True,
        )

    async def pay(self, sender: str, receiver: str, minor: int, *, key: str = "") -> str:
        """Post one transfer; returns "completed" or the failure's code."""
        return told(*await self.post([transfer(sender, receiver, minor, key=key)]))

    async def fund(self, account: str, minor: int) -> str:
        return told(*await self.post([funding(account, minor)]))

    async def freeze(self, account: str) -> Account:
        return await self._change(account, "frozen", lambda found: rules.freeze(found, "a test"))

    async def unfreeze(self, account: str) -> Account:
        return await self._change(account, "unfrozen", lambda found: rules.unfreeze(found, "a test"))

    async def close(self, account: str) -> Account:
        return await self._change(account, "closed", lambda found: rules.close(found, None))

    async def exact(self, *accounts: str) -> dict[str, LedgerAccount]:
        """The accounts as the journal says."""
        async with self._client.start_session(snapshot=True) as session:
            return await LedgerAccounts(self.database).exact(accounts, session)

    async def written(self, account: str) -> tuple[int, int]:
        """The balance and the number as last written down."""
        # It is a hint, written without waiting for a majority.
        accounts = self.database.get_collection("accounts", read_concern=ReadConcern("local"))
        document = await accounts.find_one({"_id": account})
        assert document is not None
        return document["balance"], document["sequence"]

    async def prove(self) -> Proof:
        async with self._snapshots.open() as snapshot:
            return await prove_ledger(snapshot)

    async def _change(self, account: str, name: str, change: Callable[[Account], Account]) -> Account:
        change_id, now = new_id(), utc_now()

        async def nothing(_before: Account, _after: Account, _session: Session) -> None:
            await asyncio.sleep(0)

        return await self.accounts.change(
            account,
            owner=None,
            change=change,
            numbered=lambda entry: AccountChange(change_id, name, entry, now),
            tell=lambda _account: {},
            alongside=nothing,
        )


class Acts:
    """A ledger's witness: the administrative acts that it was told of, or the error that refuses them."""

    def __init__(self) -> None:
        self.told: list[tuple[PostingCommand, JournalTransaction]] = []
        self.error: Exception | None = None

    async def __call__(
        self, acts: Sequence[tuple[PostingCommand, JournalTransaction]], _session: Session
    ) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.told += acts


@asynccontextmanager
async def ledger_process(
    mongo_uri: str,
    database_name: str,
    *,
    kept: int = ACCOUNTS_KEPT,
    alone: bool = True,
    witness: Witness | None = None,
) -> AsyncIterator[LedgerProcess]:
    """A process that ends as a killed one does: nothing is written down at the end."""
    async with connect(mongo_uri, daemon="tests") as client:
        database = client[database_name]
        await ensure_schema(database)
        yield LedgerProcess(client, database, kept=kept, alone=alone, witness=witness)


@contextmanager
def undone(process: LedgerProcess) -> Iterator[None]:
    """What the process posts in the block fails when all but its events is written."""

    async def fail(*_arguments: object, **_named: object) -> None:
        await asyncio.sleep(0)
        raise RuntimeError("by the test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process.ledger._outbox, "add", fail)
        with pytest.raises(RuntimeError, match="by the test"):
            yield


def told(outcome: Outcome) -> str:
    """What the initiator is told."""
    failure = outcome.transaction.failure
    return "completed" if failure is None else failure.code


def transfer(sender: str, receiver: str, minor: int, *, key: str = "") -> PostingCommand:
    return _command(TransactionKind.TRANSFER, sender, receiver, minor, key, owner=OWNER)


def funding(account: str, minor: int, *, key: str = "", act: BookingAct | None = None) -> PostingCommand:
    return _command(TransactionKind.FUNDING, BANK, account, minor, key, owner=None, act=act)


def _command(
    kind: TransactionKind,
    sender: str,
    receiver: str,
    minor: int,
    key: str,
    *,
    owner: UUID | None,
    act: BookingAct | None = None,
) -> PostingCommand:
    return PostingCommand(
        kind=kind,
        initiator=OWNER,
        sender_owner=owner,
        idempotency_key=key or str(uuid4()),
        from_account=sender,
        to_account=receiver,
        amount_minor=minor,
        currency=CURRENCY,
        reference=None,
        act=act,
    )


def opened(number: str) -> Account:
    """An account as it was just opened."""
    return Account(
        id=number,
        owner=OWNER,
        name=None,
        type=AccountType.CHECKING,
        status=AccountStatus.ACTIVE,
        status_reason=None,
        currency=CURRENCY,
        balance_minor=0,
        sequence=0,
        opened_at=utc_now(),
    )
