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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

import pymongo
import structlog
from pymongo.errors import DuplicateKeyError, PyMongoError

from daemons.banking_api.domain.decision import GroupDecision, LedgerAccount, Outcome
from daemons.banking_api.domain.journal import JournalTransaction, PostingCommand
from daemons.banking_api.storage.commit_order import CommitOrder, Place, UndoneError
from daemons.banking_api.storage.journal_documents import from_document, to_document
from daemons.banking_api.storage.ledger_accounts import LedgerAccounts
from daemons.banking_api.storage.ledger_turns import LedgerTurns, Missed
from daemons.banking_api.storage.ledger_writers import LedgerWriters
from daemons.banking_api.storage.recent_keys import RecentKeys
from daemons.banking_api.storage.schema import HISTORY_FIELDS
from daemons.banking_api.storage.working_set import ACCOUNTS_KEPT, WorkingSet, bring_up_to_date
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
from daemons.shared.tasks import end_task

Accounts = Mapping[str, LedgerAccount]
Stored = Mapping[bytes, JournalTransaction]
Gather = Callable[[], Sequence[PostingCommand]]
"""Returns the group's commands; asked at each attempt, for more may have come while a turn was waited for."""
Decide = Callable[[Sequence[PostingCommand], Accounts, Stored], GroupDecision]
Witness = Callable[[Sequence[tuple[PostingCommand, JournalTransaction]], Session], Awaitable[None]]
"""Is told, in the group's own transaction, of those newly decided commands that are administrative acts."""

_GROUPS_AT_ONCE = 4
_TAKEN_BEFORE_ALL_ARE_SEARCHED = 2
_LONGEST_WAIT_SECONDS = 2 * TRANSACTION_TIMEOUT_SECONDS
"""For the groups before: as long as the last attempt at one of them may take."""
_READ_BACK_SECONDS = 3
"""Everybody behind the group waits for it."""
_TIME_TO_COMMIT_SECONDS = 2
"""With less left of its time a group is not committed: the driver would not send it, nor say so."""
_NOTHING_MISSED = Missed()
_log = structlog.get_logger()


class _OutOfDateError(Exception):
    """A refusal rests on accounts that have changed since; nothing was written."""

    def __init__(self, accounts: set[str]) -> None:
        super().__init__(accounts)
        self.accounts = accounts


@dataclass(slots=True)
class _Reading:
    """What is read before a group is decided: nothing but unknown accounts, until the database objects."""

    commands: Sequence[PostingCommand] = ()
    """The group as of the last attempt."""
    look_for_keys: bool = False
    taken: dict[str, int] = field(default_factory=dict)
    """Numbers that were found taken: an account that is known under a lower one is out of date."""
    exact: set[str] = field(default_factory=set)
    """Accounts to be searched for in the journal."""
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
        self._accounts = LedgerAccounts(database)
        self._journal = database["journal"]
        self._outbox = outbox
        self._writers = writers
        self._turns = LedgerTurns(database)
        self._order = CommitOrder()
        self._witness = witness
        self._settled = RecentKeys()
        self._working_set = WorkingSet()
        self._warming_up: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Read as many accounts as there is room for, meanwhile, so that the first payments need not."""
        self._warming_up = asyncio.create_task(self._warm_up(), name="ledger-warm-up")

    @property
    def groups_at_once(self) -> int:
        """How many groups this process may have posted at once; where several take turns, it has one."""
        return _GROUPS_AT_ONCE if self._writers.alone else 1

    def take_place(self) -> Place:
        """Take the place behind all groups so far; whoever takes it leaves it when the group is over."""
        return self._order.join()

    async def post(self, gather: Gather, decide: Decide, place: Place | None = None) -> list[Outcome]:
        """Decide and write a group, all or nothing; the outcomes are in the order of its commands.

        Args:
            gather: returns the commands.
            decide: decides them.
            place: where the group stands among others; by default behind all of them.

        Raises:
            TransientError: nothing was written.
            OutcomeUnknownError: it may have been written, and could not be read back.
        """
        if place is not None:
            return await self._post_in(place, gather, decide)
        place = self.take_place()
        try:
            return await self._post_in(place, gather, decide)
        finally:
            place.leave()

    async def _post_in(self, place: Place, gather: Gather, decide: Decide) -> list[Outcome]:
        reading = _Reading()
        attempt = partial(self._post, gather, decide, place, reading)
        try:
            if self._writers.newcomers:
                self._writers.newcomers = False
                await self._write_back(self._working_set.unwritten())
            if not self._writers.alone:
                await self._begin(place, reading)
                await self._turns.step_back()
            deadline = time.monotonic() + TRANSACTION_TIMEOUT_SECONDS
            while time.monotonic() < deadline:
                # Waiting here is not counted against the time of the group's own transaction.
                await self._begin(place, reading)
                reading.begun = time.monotonic()
                try:
                    posted = await run_transaction(self._client, attempt)
                except DuplicateKeyError as error:
                    self._learn(reading, error)
                except _OutOfDateError as error:
                    reading.exact |= error.accounts
                except UndoneError:
                    continue
                else:
                    self._settled.add(_keys(reading.commands))
                    await self._keep(posted, place)
                    return posted.decision.outcomes
        except OutcomeUnknownError:
            place.give_up()
            return await self._read_back(reading.commands)
        except BaseException:
            place.give_up()
            raise
        place.give_up()
        raise _busy()

    async def _begin(self, place: Place, reading: _Reading) -> None:
        """Undo what was tried before, and wait until it is known on what the group is decided.

        That may be uncommitted at the first attempt only. Where processes take turns it never is: who has the
        turn would keep it from the one it waits for.

        Raises:
            TransientError: those before take too long; nothing was written.
        """
        place.begin()
        if place.is_first:
            return
        try:
            async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                if reading.failed_before or not self._writers.alone:
                    await place.until_nobody_is_before()
                else:
                    await place.until_those_before_are_decided()
        except TimeoutError as error:
            raise _busy() from error

    async def close(self) -> None:
        """Write down what only this process knows well, so that the next one need not search for it."""
        if self._warming_up is not None:
            await end_task(self._warming_up)
        await self._write_back(self._working_set.unwritten())

    async def read_accounts(self, command: PostingCommand) -> Accounts:
        """Return the accounts a command names, as of one moment."""
        async with self._client.start_session(snapshot=True) as session:
            return await self._accounts.exact(_named([command]), session)

    async def _post(
        self, gather: Gather, decide: Decide, place: Place, reading: _Reading, session: Session
    ) -> _Posted:
        """Do it once. New keys are the rule, so they are not looked for: the unique index tells of others."""
        await self._begin(place, reading)
        reading.failed_before = True
        turn = _Turn() if self._writers.alone else await self._take_turn(reading, session)
        reading.commands = commands = gather()
        named = _named(commands)
        uncommitted = place.uncommitted(named)
        accounts = await self._read(named, uncommitted, reading, turn.missed, session)
        look_for_keys = reading.look_for_keys or self._settled.any_of(_keys(commands))
        stored = await self._read_stored(commands, session) if look_for_keys else {}
        decision = decide(commands, accounts, stored)
        place.decide(decision.changed)
        # Events go out in the order of these ids, which is the order of the decisions.
        entry_id = new_id()
        # What those before leave of an account is what it is at the moment when they are committed.
        await self._confirm(decision.doubtful, reading.exact | uncommitted.keys(), session)
        await self._write(decision, entry_id, session)
        if turn.number is not None:
            await self._turns.leave_note(turn.number, decision.changed.values(), session)
        # Until then a group has written nothing that another one before it could want to write.
        await place.until_those_before_are_committed()
        if time.monotonic() - reading.begun > TRANSACTION_TIMEOUT_SECONDS - _TIME_TO_COMMIT_SECONDS:
            raise UndoneError
        if self._witness is not None:
            acts = [
                (command, outcome.transaction)
                for command, outcome in zip(commands, decision.outcomes, strict=True)
                if command.act is not None and not outcome.replayed and not outcome.key_reused
            ]
            if acts:
                await self._witness(acts, session)
        return _Posted(decision, turn)

    async def _take_turn(self, reading: _Reading, session: Session) -> _Turn:
        """Keep other processes' groups off until this transaction ends, and read what they have changed.

        It counts for this transaction only, until that is committed: a primary that has lost the majority
        shows what will be undone.
        """
        number = await self._turns.take(session, waiting_since=reading.begun)
        return _Turn() if number is None else _Turn(number, await self._turns.missed(number, session))

    async def _read(
        self,
        ids: set[str],
        uncommitted: dict[str, LedgerAccount],
        reading: _Reading,
        missed: Missed,
        session: Session,
    ) -> dict[str, LedgerAccount]:
        accounts = self._working_set.known(ids - reading.exact) if missed.all_known else {}
        accounts |= uncommitted
        unknown = ids - accounts.keys() - reading.exact
        if unknown:
            written = await self._accounts.as_written(unknown, session)
            if missed.all_known:
                for account in written.values():
                    self._working_set.correct(account)
            accounts |= written
        for noted in missed.accounts:
            if noted.id in accounts:
                bring_up_to_date(accounts[noted.id], noted)
        lagging = {
            id_
            for id_, number in reading.taken.items()
            if id_ in accounts and accounts[id_].sequence < number
        }
        # Where some are out of date, somebody has posted without telling: then others will be too.
        reading.exact |= ids if len(reading.taken) >= _TAKEN_BEFORE_ALL_ARE_SEARCHED else lagging
        if reading.exact:
            for id_, account in (await self._accounts.exact(reading.exact, session)).items():
                # The journal does not show yet what those before are about to commit.
                if id_ not in uncommitted or uncommitted[id_].sequence < account.sequence:
                    accounts[id_] = account
        return accounts

    async def _confirm(self, doubtful: Mapping[str, int], sure: set[str], session: Session) -> None:
        """Go on only if the accounts are still what refusals took them for; of some that is sure."""
        open_to_doubt = doubtful.keys() - sure
        if open_to_doubt:
            now = await self._accounts.exact(open_to_doubt, session)
            changed = {id_ for id_, account in now.items() if account.sequence != doubtful[id_]}
            if changed:
                raise _OutOfDateError(changed)

    async def _write(self, decision: GroupDecision, entry_id: UUID, session: Session) -> None:
        if decision.transactions:
            documents = [to_document(transaction) for transaction in decision.transactions]
            await insert_all(self._journal, documents, session=session)
            told = {"transactions": [document["_id"] for document in documents]}
            await self._outbox.add(told, events=len(documents), session=session, id_=entry_id)

    async def _keep(self, posted: _Posted, place: Place) -> None:
        """Remember what is known now, before those behind may rely on it."""
        missed = posted.turn.missed
        self._turns.done(posted.turn.number)
        if not missed.all_known:
            self._working_set.forget_all()
        for noted in missed.accounts:
            self._working_set.heed(noted)
        pushed_out = self._working_set.keep(posted.decision.changed.values())
        place.commit()
        await self._write_back(pushed_out)

    def _learn(self, reading: _Reading, error: DuplicateKeyError) -> None:
        """Read more the next time: keys that are stored already, or an account that others have changed."""
        key = (error.details or {}).get("keyValue", {})
        account = key.get(HISTORY_FIELDS[0])
        if account is None:
            reading.look_for_keys = True
        else:
            self._working_set.forget(account)
            reading.taken[account] = key[HISTORY_FIELDS[1]]

    async def _warm_up(self) -> None:
        try:
            async for accounts in self._accounts.written_in_turn(ACCOUNTS_KEPT):
                if not self._writers.alone:
                    return
                self._working_set.get_to_know(accounts)
        except PyMongoError as error:
            _log.info("accounts not read beforehand", reason=type(error).__name__)

    async def _write_back(self, accounts: Sequence[LedgerAccount]) -> None:
        try:
            await self._accounts.write_back(accounts)
        except PyMongoError as error:
            # It lags now: whoever relies on it finds the next number taken.
            _log.info("accounts not written down", reason=type(error).__name__, accounts=len(accounts))

    async def _read_stored(
        self, commands: Sequence[PostingCommand], session: Session | None
    ) -> dict[bytes, JournalTransaction]:
        cursor = self._journal.find({"idem": {"$in": _keys(commands)}}, session=session)
        found = [from_document(document) async for document in cursor]
        return {transaction.idempotency_id: transaction for transaction in found}

    async def _read_back(self, commands: Sequence[PostingCommand]) -> list[Outcome]:
        """After an unknown commit: what is stored was done; what is not may still come: it stays unknown."""
        try:
            with pymongo.timeout(_READ_BACK_SECONDS):
                stored = await self._read_stored(commands, None)
        except PyMongoError as error:
            raise outcome_unknown() from error
        if any(command.idempotency_id not in stored for command in commands):
            raise outcome_unknown()
        return [_settled(command, stored[command.idempotency_id]) for command in commands]


def outcome_unknown() -> OutcomeUnknownError:
    """The error when a transfer may or may not have been posted."""
    return OutcomeUnknownError(
        "outcome_unknown",
        "It is not known whether this was posted; repeat it with the same Idempotency-Key, it is safe.",
        retry_after_seconds=1,
    )


def _busy() -> TransientError:
    return TransientError(
        "unavailable", "The ledger is busy; nothing was posted, try again.", retry_after_seconds=1
    )


def _settled(command: PostingCommand, transaction: JournalTransaction) -> Outcome:
    return Outcome(transaction, key_reused=transaction.fingerprint != command.fingerprint)


def _keys(commands: Sequence[PostingCommand]) -> list[bytes]:
    return [command.idempotency_id for command in commands]


def _named(commands: Sequence[PostingCommand]) -> set[str]:
    return {command.from_account for command in commands} | {command.to_account for command in commands}
