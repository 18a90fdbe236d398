"""The ledger's one way to change: a group of commands decided and written in one transaction.

No account is locked and little is read. Decisions rest on what this process knows of the accounts; each entry
takes its account's next number, and the journal's unique index refuses a number that is taken. So money moves
only on accounts that nobody has changed since (docs/adr/0011). A refusal takes no number, so what it rests on
is read again in the transaction before it counts.

Groups of this process are written side by side, each decided on what those before it are about to commit, and
committed in their order (`commit_order.py`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import pymongo
from pymongo.errors import DuplicateKeyError, PyMongoError

from daemons.banking_api.domain.decision import (
    GroupDecision,
    LedgerAccount,
    NothingPostedError,
    Outcome,
)
from daemons.banking_api.domain.journal import (
    JournalTransaction,
    PostingCommand,
    idempotency_id,
    key_reused,
)
from daemons.banking_api.storage.commit_order import CommitOrder, Place, UndoneError
from daemons.banking_api.storage.journal_documents import from_document, to_document
from daemons.banking_api.storage.known_accounts import Doubts, KnownAccounts, OutOfDateError
from daemons.banking_api.storage.ledger_turns import LedgerTurns, Missed
from daemons.banking_api.storage.ledger_writers import LedgerWriters
from daemons.banking_api.storage.recent_keys import RecentKeys
from daemons.banking_api.storage.schema import HISTORY_FIELDS
from daemons.contracts.errors import OutcomeUnknownError, TransientError
from daemons.shared.ids import new_id
from daemons.shared.mongo import (
    TRANSACTION_TIMEOUT_SECONDS,
    Client,
    Database,
    Session,
    insert_all,
    run_transaction,
)
from daemons.shared.outbox.store import OutboxStore

Accounts = Mapping[str, LedgerAccount]
Stored = Mapping[bytes, JournalTransaction]
Gather = Callable[[], Sequence[PostingCommand]]
"""Returns the group's commands; asked at each attempt, for more may have come while a turn was waited for."""
Decide = Callable[[Sequence[PostingCommand], Accounts, Stored], GroupDecision]
Witness = Callable[[Sequence[tuple[PostingCommand, JournalTransaction]], Session], Awaitable[None]]
"""Is told, in the group's own transaction, of those newly decided commands that are administrative acts."""

_GROUPS_AT_ONCE = 4
_LONGEST_WAIT_SECONDS = 2 * TRANSACTION_TIMEOUT_SECONDS
"""For the groups before: as long as the last attempt at one of them may take."""
_READ_BACK_SECONDS = 3
"""Everybody behind the group waits for it."""
_TIME_TO_COMMIT_SECONDS = 2
"""With less left of its time a group is not committed: the driver would not send it, nor say so."""
_NOTHING_MISSED = Missed()


@dataclass(slots=True)
class _Attempts:
    """What attempts at a group leave to the next one."""

    commands: Sequence[PostingCommand] = ()
    """The group as of the last attempt."""
    posted: Sequence[JournalTransaction] = ()
    """What the last attempt was to commit."""
    look_for_keys: bool = False
    doubts: Doubts = field(default_factory=Doubts)
    begun: float = field(default_factory=time.monotonic)
    """When the present transaction was begun, or was to be."""
    failed_before: bool = False
    """From then on the group relies on nothing uncommitted: so those before it are undone once at most."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A turn and what others have left of accounts before it, or that a group is posted outside of turns."""

    number: int | None = None
    missed: Missed = _NOTHING_MISSED


@dataclass(frozen=True, slots=True)
class _Posted:
    """What was decided and written, and in which turn."""

    decision: GroupDecision
    turn: _Turn


class MongoLedger:
    """Posts groups of commands. Correct with any number of processes: the safety is all in the database."""

    def __init__(
        self,
        client: Client,
        database: Database,
        outbox: OutboxStore,
        writers: LedgerWriters,
        witness: Witness | None = None,
    ) -> None:
        self._client = client
        self._accounts = KnownAccounts(database, writers)
        self._journal = database["journal"]
        self._outbox = outbox
        self._writers = writers
        self._turns = LedgerTurns(database)
        self._order = CommitOrder()
        self._witness = witness
        self._settled = RecentKeys()

    def start(self) -> None:
        """Read as many accounts as there is room for, meanwhile, so that the first payments need not."""
        self._accounts.start()

    @property
    def groups_at_once(self) -> int:
        """How many groups this process may have posted at once; where several take turns, it has one."""
        return _GROUPS_AT_ONCE if self._writers.alone else 1

    def take_place(self) -> Place:
        """Take the place behind all groups so far; whoever takes it leaves it when the group is over."""
        return self._order.join()

    async def post(
        self, gather: Gather, decide: Decide, place: Place | None = None, *, look_for_keys: bool = False
    ) -> list[Outcome]:
        """Decide and write a group, all or nothing; the outcomes are in the order of its commands.

        Args:
            gather: returns the commands.
            decide: decides them.
            place: where the group stands among others; by default behind all of them.
            look_for_keys: whether what is stored must be read at once, because a refusal would write nothing
                that could meet it.

        Raises:
            TransientError: nothing was written.
            NothingPostedError: it was decided so; nothing was written.
            OutcomeUnknownError: it may have been written, and could not be read back.
        """
        attempts = _Attempts(look_for_keys=look_for_keys)
        if place is not None:
            return _outcomes(await self._post_in(place, gather, decide, attempts))
        place = self.take_place()
        try:
            return _outcomes(await self._post_in(place, gather, decide, attempts))
        finally:
            place.leave()

    async def _post_in(
        self, place: Place, gather: Gather, decide: Decide, attempts: _Attempts
    ) -> GroupDecision:
        attempt = partial(self._post, gather, decide, place, attempts)
        try:
            if self._writers.newcomers:
                self._writers.newcomers = False
                await self._accounts.write_down()
            if not self._writers.alone:
                await self._begin(place, attempts)
                await self._turns.step_back()
            deadline = time.monotonic() + TRANSACTION_TIMEOUT_SECONDS
            while time.monotonic() < deadline:
                # Waiting here is not counted against the time of the group's own transaction.
                await self._begin(place, attempts)
                attempts.begun = time.monotonic()
                try:
                    posted = await run_transaction(self._client, attempt)
                except DuplicateKeyError as error:
                    self._learn(attempts, error)
                except (OutOfDateError, UndoneError):
                    continue
                else:
                    self._settled.add(_keys(attempts.commands))
                    await self._keep(posted, place)
                    return posted.decision
        except OutcomeUnknownError:
            place.give_up()
            return await self._read_back(attempts)
        except BaseException:
            place.give_up()
            raise
        place.give_up()
        raise _busy()

    async def _begin(self, place: Place, attempts: _Attempts) -> None:
        """Undo what was tried before, and wait until it is known on what the group is decided.

        That may be uncommitted at the first attempt only. Where processes take turns it never is: who has the
        turn would keep it from the one it waits for.

        Raises:
            TransientError: those before take too long; nothing was written.
        """
        place.begin()
        if place.is_first:
            # The rule for lone commands: no timer need be set for them.
            return
        try:
            async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                if attempts.failed_before or not self._writers.alone:
                    await place.until_nobody_is_before()
                else:
                    await place.until_those_before_are_decided()
        except TimeoutError as error:
            raise _busy() from error

    async def close(self) -> None:
        """Write down what only this process knows well, so that the next one need not search for it."""
        await self._accounts.close()

    async def read_accounts(self, commands: Sequence[PostingCommand]) -> Accounts:
        """Return the accounts that commands name, as of one moment."""
        async with self._client.start_session(snapshot=True) as session:
            return await self._accounts.exact(_named(commands), session)

    async def check_key_is_new(self, initiator: UUID, idempotency_key: str) -> None:
        """Go on only if this person has had nothing posted under the key.

        Raises:
            RejectedError: the key was used for another request.
        """
        if await self._journal.find_one({"idem": idempotency_id(initiator, idempotency_key)}, {"_id": 1}):
            raise key_reused()

    async def read_accounts_and_stored(
        self, commands: Sequence[PostingCommand], *, also: Iterable[str]
    ) -> tuple[Accounts, Stored]:
        """Return the accounts that commands name, others, and what is stored under the commands' keys.

        All of it is as of one moment.
        """
        async with self._client.start_session(snapshot=True) as session:
            accounts = await self._accounts.exact(_named(commands) | set(also), session)
            return accounts, await self._read_stored(commands, session)

    async def _post(
        self, gather: Gather, decide: Decide, place: Place, attempts: _Attempts, session: Session
    ) -> _Posted:
        """Do it once. New keys are the rule, so they are not looked for: the unique index tells of others."""
        await self._begin(place, attempts)
        attempts.failed_before = True
        turn = _Turn() if self._writers.alone else await self._take_turn(attempts, session)
        attempts.commands = commands = gather()
        named = _named(commands)
        uncommitted = place.uncommitted(named)
        accounts = await self._accounts.read(named, uncommitted, attempts.doubts, turn.missed, session)
        look_for_keys = attempts.look_for_keys or self._settled.any_of(_keys(commands))
        stored = await self._read_stored(commands, session) if look_for_keys else {}
        decision = decide(commands, accounts, stored)
        attempts.posted = decision.transactions
        place.decide(decision.changed)
        # Events go out in the order of these ids, which is the order of the decisions.
        entry_id = new_id()
        await self._accounts.confirm(decision.doubtful, uncommitted, attempts.doubts, session)
        await self._write(decision, entry_id, session)
        if turn.number is not None:
            await self._turns.leave_note(turn.number, decision.changed.values(), session)
        # Until then a group has written nothing that another one before it could want to write.
        await place.until_those_before_are_committed()
        if time.monotonic() - attempts.begun > TRANSACTION_TIMEOUT_SECONDS - _TIME_TO_COMMIT_SECONDS:
            raise UndoneError
        await self._tell_witness(commands, decision, session)
        return _Posted(decision, turn)

    async def _take_turn(self, attempts: _Attempts, session: Session) -> _Turn:
        """Keep other processes' groups off until this transaction ends, and read what they have changed.

        It counts for this transaction only, until that is committed: a primary that has lost the majority
        shows what will be undone.
        """
        number = await self._turns.take(session, waiting_since=attempts.begun)
        return _Turn() if number is None else _Turn(number, await self._turns.missed(number, session))

    async def _write(self, decision: GroupDecision, entry_id: UUID, session: Session) -> None:
        if decision.transactions:
            documents = [to_document(transaction) for transaction in decision.transactions]
            await insert_all(self._journal, documents, session=session)
            told = {"transactions": [document["_id"] for document in documents]}
            await self._outbox.add(told, events=len(documents), session=session, id_=entry_id)

    async def _tell_witness(
        self, commands: Sequence[PostingCommand], decision: GroupDecision, session: Session
    ) -> None:
        if self._witness is None or decision.nothing_posted:
            return
        acts = [
            (command, outcome.transaction)
            for command, outcome in zip(commands, decision.outcomes, strict=True)
            if command.act is not None and not outcome.replayed and not outcome.key_reused
        ]
        if acts:
            await self._witness(acts, session)

    async def _keep(self, posted: _Posted, place: Place) -> None:
        """Remember what is known now, before those behind may rely on it."""
        self._turns.done(posted.turn.number)
        no_room_for = self._accounts.keep(posted.decision.changed.values(), posted.turn.missed)
        place.commit()
        await self._accounts.write_back(no_room_for)

    def _learn(self, attempts: _Attempts, error: DuplicateKeyError) -> None:
        """Read more the next time: keys that are stored already, or an account that others have changed."""
        key = (error.details or {}).get("keyValue", {})
        account = key.get(HISTORY_FIELDS[0])
        if account is None:
            attempts.look_for_keys = True
        else:
            self._accounts.find_taken(account, key[HISTORY_FIELDS[1]], attempts.doubts)

    async def _read_stored(
        self, commands: Sequence[PostingCommand], session: Session | None
    ) -> dict[bytes, JournalTransaction]:
        cursor = self._journal.find({"idem": {"$in": _keys(commands)}}, session=session)
        found = [from_document(document) async for document in cursor]
        return {transaction.idempotency_id: transaction for transaction in found}

    async def _read_back(self, attempts: _Attempts) -> GroupDecision:
        """After an unknown commit: what is stored was done; what is not may still come: it stays unknown."""
        commands, posted = attempts.commands, {transaction.id for transaction in attempts.posted}
        try:
            with pymongo.timeout(_READ_BACK_SECONDS):
                stored = await self._read_stored(commands, None)
        except PyMongoError as error:
            raise outcome_unknown() from error
        if any(command.idempotency_id not in stored for command in commands):
            raise outcome_unknown()
        return GroupDecision(
            [_settled(command, stored[command.idempotency_id], posted) for command in commands]
        )


def outcome_unknown() -> OutcomeUnknownError:
    """The error when a transfer may or may not have been posted."""
    return OutcomeUnknownError(
        "outcome_unknown",
        "It is not known whether this was posted; repeat it with the same Idempotency-Key, it is safe.",
        retry_after_seconds=1,
    )


def _outcomes(decision: GroupDecision) -> list[Outcome]:
    if decision.nothing_posted:
        raise NothingPostedError(decision.nothing_posted)
    return decision.outcomes


def _busy() -> TransientError:
    return TransientError(
        "unavailable", "The ledger is busy; nothing was posted, try again.", retry_after_seconds=1
    )


def _settled(command: PostingCommand, transaction: JournalTransaction, posted: Collection[UUID]) -> Outcome:
    reused = transaction.fingerprint != command.fingerprint
    return Outcome(transaction, replayed=not reused and transaction.id not in posted, key_reused=reused)


def _keys(commands: Sequence[PostingCommand]) -> list[bytes]:
    return [command.idempotency_id for command in commands]


def _named(commands: Sequence[PostingCommand]) -> set[str]:
    return {command.from_account for command in commands} | {command.to_account for command in commands}
