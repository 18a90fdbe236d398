"""MongoDB as every daemon uses it: durable, majority-acknowledged, quick to notice a lost primary."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, nullcontext
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import pymongo
from pymongo import AsyncMongoClient, ReadPreference
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from daemons.contracts.errors import OutcomeUnknownError, TransientError

Document = dict[str, Any]
Database = AsyncDatabase[Document]
Client = AsyncMongoClient[Document]
Session = AsyncClientSession
Server = tuple[Any, str, str]
"""A primary: its address, the run of its process, and its election."""

ResultT = TypeVar("ResultT")
TransactionT = TypeVar("TransactionT")

TRANSACTION_TIMEOUT_SECONDS = 8
"""The bound on one transaction with all its retries; the driver's own is 120 s, too long for a person."""

_DUPLICATE_KEY = 11000
_WRITE_CONFLICT = 112
_TIME_LIMIT_EXCEEDED = 50
_FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.004
"""The longest pause before a transaction that met a conflict is started again."""
_DRIVERS_PAUSE_SECONDS, _DRIVERS_LONGEST_SECONDS = 0.005, 0.5
"""The driver's own pauses between attempts, for faults other than a conflict."""
_DURABLE = WriteConcern(w="majority", j=True)


def connect(uri: str, *, daemon: str, max_pool_size: int = 100) -> Client:
    """Make the daemon's one client. It connects on first use; nothing blocks here.

    The server knows its connections by `daemon`, which `application_name` makes one bank's own.

    The heartbeat of 500 ms is for fail-over: at the driver's 10 s a commit that met a lost primary took
    30 s to ride out, at 500 ms 1.5 s (measured, docs/adr/0003).
    """
    return AsyncMongoClient(
        uri,
        appname=daemon,
        w="majority",
        journal=True,
        readConcernLevel="majority",
        retryWrites=True,
        retryReads=True,
        heartbeatFrequencyMS=500,
        serverSelectionTimeoutMS=5000,
        connectTimeoutMS=3000,
        socketTimeoutMS=15_000,
        maxPoolSize=max_pool_size,
        tz_aware=True,
        uuidRepresentation="standard",
    )


def application_name(daemon: str, database: str) -> str:
    """Return the name of a daemon's connections, which no other bank's on the same server have."""
    return f"{daemon}/{database}"


def serving(client: Client) -> Server | None:
    """Return which run of which server is the primary now, None while none is known; asks nobody."""
    for server in client.topology_description.server_descriptions().values():
        if server.is_writable and server.topology_version is not None:
            return server.address, str(server.topology_version["processId"]), str(server.election_id)
    return None


def transaction_options() -> dict[str, Any]:
    """Snapshot reads and journaled majority writes on the primary: what a ledger's transaction needs."""
    return {
        "read_concern": ReadConcern("snapshot"),
        "write_concern": _DURABLE,
        "read_preference": ReadPreference.PRIMARY,
    }


async def ping(database: Database) -> str | None:
    """Return None when the database answers as a replica set's primary, else the reason."""
    try:
        hello = await database.command("hello")
    except PyMongoError as error:
        return f"MongoDB does not answer: {type(error).__name__}"
    if not hello.get("setName"):
        return "MongoDB is not a replica set member, so it has no transactions; start it with --replSet"
    return None


async def insert_all(
    collection: AsyncCollection[Document], documents: Sequence[Document], *, session: Session
) -> None:
    """Insert the documents, which have their `_id`s, in a transaction; they must fit one command (16 MiB).

    The driver's `insert_many` examines every document again and takes twice the time.

    Raises:
        DuplicateKeyError: a unique index refuses one of them.
        InvalidDocument: they are too large.
        OperationFailure: another fault.
    """
    answer = await collection.database.command(
        "insert",
        collection.name,
        codec_options=collection.codec_options,
        documents=documents,
        ordered=True,
        session=session,
    )
    for error in answer.get("writeErrors", ()):
        kind = DuplicateKeyError if error["code"] == _DUPLICATE_KEY else OperationFailure
        raise kind(error["errmsg"], error["code"], error)


class Attempts(Generic[TransactionT]):
    """Attempts at one transaction, each from its beginning, until one is committed or cannot be.

        async for attempt in Attempts(client, begin):
            async with attempt as transaction:
                ...

    The block is run again when it meets another transaction on a document, soon: the other one is over in
    milliseconds, while the driver's own pauses grow to half a second; and on other passing faults, as the
    driver does. The commit is repeated while its outcome is unknown. All of it takes at most
    `TRANSACTION_TIMEOUT_SECONDS`.

    What leaves the block by `return`, `break` or `continue` leaves the loop that would repeat it: a test
    refuses that (tests/guards/test_units_of_work.py). What the block raises undoes the transaction.

    Raises:
        DuplicateKeyError: a unique index refused a document; nothing was written.
        TransientError: it was not committed and may be tried again.
        OutcomeUnknownError: it may have been committed.
    """

    def __init__(
        self,
        client: Client,
        begin: Callable[[Session], TransactionT],
        *,
        finish: Callable[[TransactionT], Awaitable[None]] | None = None,
        turn: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
        duplicates: int = 0,
    ) -> None:
        """Make them.

        Args:
            client: The client of the database.
            begin: Makes of the session what an attempt is given.
            finish: Writes what each attempt ends with, before the commit.
            turn: What is waited for before the first attempt and held to the end of the last one.
            duplicates: How often a document that a unique index refuses begins another attempt.
        """
        self._client = client
        self._make = begin
        self._finish = finish
        self._turn = turn
        self._duplicates = duplicates
        self._held = AsyncExitStack()
        self._session: Session | None = None
        self._transaction: TransactionT | None = None
        self._until = 0.0
        self._pause_seconds = 0.0
        self._attempts = 0
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Self:
        if self._over:
            raise StopAsyncIteration
        if self._pause_seconds:
            try:
                # Of two that met, both must not come back at the same moment.
                await asyncio.sleep(random.uniform(0, self._pause_seconds))  # noqa: S311 - nothing secret
            except BaseException:
                await self._close()
                raise
        return self

    async def __aenter__(self) -> TransactionT:
        try:
            if self._session is None:
                await self._held.enter_async_context(self._turn())
                self._held.enter_context(pymongo.timeout(TRANSACTION_TIMEOUT_SECONDS))
                self._until = time.monotonic() + TRANSACTION_TIMEOUT_SECONDS
                self._session = await self._held.enter_async_context(self._client.start_session())
            await self._session.start_transaction(**transaction_options())
            self._transaction = self._make(self._session)
        except BaseException:
            await self._close()
            raise
        self._attempts += 1
        return self._transaction

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        raised, again = error, False
        try:
            if error is None:
                error = await self._commit()
            again = error is not None and await self._undone(error)
        finally:
            if not again:
                await self._close()
        if error is None or again:
            return again
        fault = _bank_error(error)
        if fault is raised:
            return False
        raise fault from (None if fault is error else error)

    async def _commit(self) -> BaseException | None:
        """Write what the attempt ends with and commit; returns what came in between."""
        assert self._session is not None  # noqa: S101 - the attempt has begun
        try:
            if self._finish is not None and self._transaction is not None:
                await self._finish(self._transaction)
            while True:
                try:
                    await self._session.commit_transaction()
                except PyMongoError as error:
                    if not _is_outcome_unknown(error) or time.monotonic() >= self._until:
                        raise
                else:
                    return None
        except BaseException as error:  # noqa: BLE001 - judged by the caller
            return error

    async def _undone(self, error: BaseException) -> bool:
        """Undo the attempt; tells whether there is another one."""
        assert self._session is not None  # noqa: S101 - the attempt has begun
        self._transaction = None
        if self._session.in_transaction:
            await self._session.abort_transaction()
        if not isinstance(error, PyMongoError) or time.monotonic() >= self._until:
            return False
        if isinstance(error, DuplicateKeyError) and self._duplicates:
            self._duplicates -= 1
            return True
        if isinstance(error, OperationFailure) and error.code == _WRITE_CONFLICT:
            self._pause_seconds = min(2 * self._pause_seconds or _FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
            return True
        if error.has_error_label("TransientTransactionError"):
            self._pause_seconds = min(_DRIVERS_PAUSE_SECONDS * 1.5**self._attempts, _DRIVERS_LONGEST_SECONDS)
            return True
        return False

    async def _close(self) -> None:
        self._over = True
        self._session = None
        await self._held.aclose()


async def run_transaction(client: Client, body: Callable[[Session], Awaitable[ResultT]]) -> ResultT:
    """Run the body in one transaction and commit it; the body may run several times.

    Raises:
        DuplicateKeyError, TransientError, OutcomeUnknownError: as `Attempts`.
    """
    async for attempt in Attempts(client, _itself):
        async with attempt as session:
            result = await body(session)
    return result


def _itself(session: Session) -> Session:
    return session


def _bank_error(error: BaseException) -> BaseException:
    """Return the bank's error for a fault of the driver; other faults as they are."""
    if not isinstance(error, PyMongoError) or isinstance(error, DuplicateKeyError):
        return error
    if isinstance(error, BulkWriteError) and _is_duplicate_key(error):
        return DuplicateKeyError("a unique index refused a document", _DUPLICATE_KEY)
    if error.has_error_label("UnknownTransactionCommitResult"):
        return OutcomeUnknownError(
            "outcome_unknown",
            "The database did not say whether this was done; repeat it with the same Idempotency-Key.",
            retry_after_seconds=1,
        )
    return unavailable(error)


def _is_outcome_unknown(error: PyMongoError) -> bool:
    ran_out_of_time = isinstance(error, OperationFailure) and error.code == _TIME_LIMIT_EXCEEDED
    return error.has_error_label("UnknownTransactionCommitResult") and not ran_out_of_time


def _is_duplicate_key(error: BulkWriteError) -> bool:
    """Tell whether a unique index refused one of many, for which the driver has no exception of its own."""
    return any(fault.get("code") == _DUPLICATE_KEY for fault in error.details.get("writeErrors", ()))


def unavailable(error: PyMongoError) -> TransientError:
    """The error for a database that does not do its work at the moment; nothing was changed."""
    return TransientError(
        "unavailable",
        f"The database does not answer ({type(error).__name__}); nothing was changed, try again.",
        retry_after_seconds=1,
    )


@contextmanager
def unavailable_on_fault() -> Iterator[None]:
    """Turn any fault of the driver into `unavailable`; for reads and writes that may be repeated.

    Raises:
        TransientError: the database did not do its work.
    """
    try:
        yield
    except PyMongoError as error:
        raise unavailable(error) from error
