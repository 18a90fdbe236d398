"""The ledger as a process of banking_api has it, several over one database: each with a client of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID, uuid4

import pytest
from pymongo.read_concern import ReadConcern

from daemons.banking_api.accounts.number import LARGEST_PAYLOAD, SMALLEST_PAYLOAD, account_number
from daemons.banking_api.books.proof import Proof, prove_ledger
from daemons.banking_api.books.snapshot import SnapshotOpener
from daemons.banking_api.kinds.change import ChangeOfAccount
from daemons.banking_api.kinds.close import Close
from daemons.banking_api.kinds.freeze import Freeze, Unfreeze
from daemons.banking_api.kinds.funding import Funding
from daemons.banking_api.kinds.opening import Opening
from daemons.banking_api.kinds.table import TRANSACTION_KINDS
from daemons.banking_api.kinds.transfer import Transfer
from daemons.banking_api.ledger.account import Account, settlement_account, tally
from daemons.banking_api.ledger.account_cache import ACCOUNTS_KEPT, AccountCache
from daemons.banking_api.ledger.journal import Journal
from daemons.banking_api.ledger.pipeline import Pipeline, WriteActs
from daemons.banking_api.ledger.queue import Group, Waiting
from daemons.banking_api.ledger.readers import AccountReader, RecordReader
from daemons.banking_api.ledger.record import Act, Command, Outcome, Record
from daemons.banking_api.ledger.schema import ensure_schema
from daemons.banking_api.ledger.seal import Seal
from daemons.contracts.errors import BankError
from daemons.contracts.names import AccountType
from daemons.shared.clock import utc_now
from daemons.shared.mongo import Client, Database, Session, connect

OWNER = UUID(int=7)
OPERATOR = UUID(int=8)
CURRENCY = "EUR"
BANK = settlement_account(CURRENCY)
OPENED = tally("accounts", OWNER)


class LedgerProcess:
    """What one process knows and does; `kept` is how many accounts it has room for.

    It takes itself for the ledger, however many others do: the worst that a lease can come to.
    """

    def __init__(
        self,
        client: Client,
        database: Database,
        *,
        kept: int = ACCOUNTS_KEPT,
        write_acts: WriteActs | None = None,
    ) -> None:
        self.database = database
        self.journal = Journal(database)
        self.cache = AccountCache(database, self.journal, limit=kept)
        self.accounts = AccountReader(client, database)
        self.records = RecordReader(client, database, kinds=TRANSACTION_KINDS)
        self.committed: list[Record] = []
        """What this process was told of its commits."""
        self.seals: list[Seal] = []
        self.pipeline = Pipeline(
            client,
            self.journal,
            self.cache,
            clock=utc_now,
            committed=self._committed,
            write_acts=write_acts,
        )
        self.pipeline.start()
        self._snapshots = SnapshotOpener(client, database)

    def _committed(self, seal: Seal, records: Sequence[Record]) -> None:
        self.seals.append(seal)
        self.committed += records

    async def open(self, count: int, *, balance: int = 0) -> list[str]:
        """Open accounts of one owner, with money on them."""
        span = LARGEST_PAYLOAD - SMALLEST_PAYLOAD
        numbers = [account_number(SMALLEST_PAYLOAD + uuid4().int % span) for _ in range(count)]
        await self.post([opening(number) for number in numbers])
        if balance:
            await self.post([funding(number, balance) for number in numbers])
        return numbers

    async def post(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out a group of their own, in turn with all others; two may have the same key."""
        return await self._carry_out(commands, atomic=False)

    async def post_atomic(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry out all of a group or nothing; if it is nothing the first refusal is raised."""
        return await self._carry_out(commands, atomic=True)

    async def _carry_out(self, commands: Sequence[Command], *, atomic: bool) -> list[Outcome]:
        waiting = self.begin(commands, atomic=atomic)
        return list(await asyncio.gather(*(one.answer for one in waiting)))

    def begin(self, commands: Sequence[Command], *, atomic: bool = False) -> list[Waiting]:
        """Let commands be carried out in a group of their own, beside those that run."""
        loop = asyncio.get_running_loop()
        waiting = [Waiting(command, loop.create_future()) for command in commands]
        self.pipeline._commit(Group(list(waiting), atomic=atomic))
        return waiting

    async def pay(self, sender: str, receiver: str, minor: int, *, key: str = "") -> str:
        """Make one transfer; returns "completed" or the failure's code."""
        return told(*await self.post([transfer(sender, receiver, minor, key=key)]))

    async def fund(self, account: str, minor: int) -> str:
        return told(*await self.post([funding(account, minor)]))

    async def freeze(self, account: str) -> Account:
        return await self._change(
            Freeze(initiator=OPERATOR, idempotency_key=str(uuid4()), account_id=account, reason="a test")
        )

    async def unfreeze(self, account: str) -> Account:
        return await self._change(
            Unfreeze(initiator=OPERATOR, idempotency_key=str(uuid4()), account_id=account, reason="a test")
        )

    async def close(self, account: str) -> Account:
        return await self._change(Close(initiator=OWNER, idempotency_key=str(uuid4()), account_id=account))

    async def exact(self, *accounts: str) -> dict[str, Account]:
        """The accounts as the journal says."""
        found, _ = await self.records.states_for([], also=accounts)
        return found

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

    async def _change(self, command: ChangeOfAccount) -> Account:
        """The account as of right after the change."""
        outcome = await self.pipeline.submit(command)
        entry = outcome.record.entry_of(command.account_id)
        found = await self.accounts.find(command.account_id, owner=None)
        assert entry is not None
        assert found is not None
        return Account(found.id, found.terms, entry.balance_after_minor, entry.sequence)


class Acts:
    """Takes what is to be written of acts; refuses them with the error, if there is one."""

    def __init__(self) -> None:
        self.told: list[tuple[Command, Record]] = []
        self.error: Exception | None = None

    async def __call__(self, acts: Sequence[tuple[Command, Record]], _session: Session) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        self.told += acts


@asynccontextmanager
async def ledger_process(
    mongo_uri: str, database_name: str, *, kept: int = ACCOUNTS_KEPT, write_acts: WriteActs | None = None
) -> AsyncIterator[LedgerProcess]:
    """A process that ends as a killed one does: nothing is written down at the end."""
    async with connect(mongo_uri, daemon="tests") as client:
        database = client[database_name]
        await ensure_schema(database)
        yield LedgerProcess(client, database, kept=kept, write_acts=write_acts)


@contextmanager
def undone(process: LedgerProcess) -> Iterator[None]:
    """What the process carries out in the block fails after it was written, and before its commit."""
    append = process.journal.append

    async def fail(*arguments: object, **named: object) -> None:
        await append(*arguments, **named)  # type: ignore[arg-type]
        raise RuntimeError("by the test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process.journal, "append", fail)
        with pytest.raises(BankError) as failed:
            yield
        assert failed.value.code == "internal"


def told(outcome: Outcome) -> str:
    """What the initiator is told."""
    failure = outcome.record.failure
    return "completed" if failure is None else failure.code


def transfer(sender: str, receiver: str, minor: int, *, key: str = "") -> Transfer:
    return Transfer(
        initiator=OWNER,
        idempotency_key=key or str(uuid4()),
        from_account=sender,
        to_account=receiver,
        amount_minor=minor,
        currency=CURRENCY,
        reference=None,
    )


def funding(
    account: str,
    minor: int,
    *,
    key: str = "",
    act: Act | None = None,
    alone_limit_minor: int | None = None,
) -> Funding:
    return Funding(
        initiator=OWNER,
        idempotency_key=key or str(uuid4()),
        act=act,
        to_account=account,
        amount_minor=minor,
        currency=CURRENCY,
        reference=None,
        alone_limit_minor=alone_limit_minor,
    )


def opening(number: str, *, most_per_user: int | None = None) -> Opening:
    return Opening(
        initiator=OWNER,
        idempotency_key=str(uuid4()),
        numbers=(number,),
        type=AccountType.CHECKING,
        currency=CURRENCY,
        name=None,
        most_per_user=most_per_user,
        opened_at=utc_now(),
    )
