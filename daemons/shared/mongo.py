"""MongoDB as every daemon uses it: durable, majority-acknowledged, quick to notice a lost primary."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import pymongo
from bson.errors import InvalidDocument
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
Alongside = Callable[[Session], Awaitable[None]]
"""What a transaction writes besides its own; it may run several times."""

ResultT = TypeVar("ResultT")

TRANSACTION_TIMEOUT_SECONDS = 8
"""The bound on one transaction with all its retries; the driver's own is 120 s, too long for a person."""

_DUPLICATE_KEY = 11000
_WRITE_CONFLICT = 112
_FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.004
"""The longest pause before a transaction that met a conflict is started again."""
_DURABLE = WriteConcern(w="majority", j=True)


def connect(uri: str, *, daemon: str, max_pool_size: int = 100) -> Client:
    """Make the daemon's one client. It connects on first use; nothing blocks here.

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


class _MetAnotherError(Exception):
    """Another transaction has written one of the same documents; this one was undone."""


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


async def run_transaction(client: Client, body: Callable[[Session], Awaitable[ResultT]]) -> ResultT:
    """Run the body in one transaction and commit it; the body may run several times.

    It is run again when it meets another transaction on a document, soon: the other one is over in
    milliseconds, while the driver's own pauses grow to half a second. The driver runs it again on other
    passing faults, and the commit again when its outcome is unknown; all of it within
    `TRANSACTION_TIMEOUT_SECONDS`.

    Raises:
        DuplicateKeyError: a unique index refused a document; nothing was written.
        TransientError: it was not committed and may be tried again.
        OutcomeUnknownError: it may have been committed.
    """
    try:
        with pymongo.timeout(TRANSACTION_TIMEOUT_SECONDS):
            async with client.start_session() as session:
                return await _run_between_others(session, body)
    except (DuplicateKeyError, InvalidDocument):
        raise
    except PyMongoError as error:
        if isinstance(error, BulkWriteError) and _is_duplicate_key(error):
            raise DuplicateKeyError("a unique index refused a document", _DUPLICATE_KEY) from error
        if error.has_error_label("UnknownTransactionCommitResult"):
            raise OutcomeUnknownError(
                "outcome_unknown",
                "The database did not say whether this was done; repeat it with the same Idempotency-Key.",
                retry_after_seconds=1,
            ) from error
        raise unavailable(error) from error


async def _run_between_others(session: Session, body: Callable[[Session], Awaitable[ResultT]]) -> ResultT:
    async def attempt(session: Session) -> ResultT:
        try:
            return await body(session)
        except OperationFailure as error:
            if error.code == _WRITE_CONFLICT:
                raise _MetAnotherError from error
            raise

    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return await session.with_transaction(attempt, **transaction_options())
        except _MetAnotherError:
            # Of two that met, both must not come back at the same moment.
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311 - nothing secret
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


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
