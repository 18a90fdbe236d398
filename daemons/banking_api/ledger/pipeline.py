"""The ledger's one way to change: commands are gathered, decided, sealed, written and answered in groups.

While groups are being committed the next one gathers. There is no timer: a lone command is committed at
once, and a busy ledger's groups grow by themselves until one database transaction carries hundreds of
commands, also when all of them touch the same account. Several groups are written side by side and committed
in their order, so that database and ledger need not wait for each other (docs/adr/0019).

No account is locked and little is read. Decisions rest on what this process knows; the seal of a group takes
the journal's next number, and each entry its account's. So nothing is stored that was decided on anything but
the newest state, whichever process takes itself for the ledger.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import UUID

import prometheus_client
import pymongo
import structlog
from prometheus_client import Histogram
from pymongo.errors import DuplicateKeyError, PyMongoError

from daemons.banking_api.ledger.account import Account
from daemons.banking_api.ledger.account_cache import AccountCache
from daemons.banking_api.ledger.batches import Batch, before_not_settled
from daemons.banking_api.ledger.decide import (
    Answer,
    GroupDecision,
    Stored,
    decide_atomic_group,
    decide_group,
    outcome_of,
)
from daemons.banking_api.ledger.journal import Journal, SealedGroup
from daemons.banking_api.ledger.ledger import LedgerMovedError, NotTakenError
from daemons.banking_api.ledger.order import CommitOrder, Place, UndoneError
from daemons.banking_api.ledger.queue import Group, GroupQueue, Waiting
from daemons.banking_api.ledger.recent_keys import RecentKeys
from daemons.banking_api.ledger.record import Command, Outcome, Record
from daemons.banking_api.ledger.schema import HISTORY_FIELDS
from daemons.banking_api.ledger.seal import Head, Seal
from daemons.contracts.errors import BankError, ConflictError, OutcomeUnknownError, TransientError
from daemons.contracts.names import Code
from daemons.shared.mongo import TRANSACTION_TIMEOUT_SECONDS, Client, Session, run_transaction

WAITING_LIMIT = 8192
_GROUPS_AT_ONCE = 4
_LONGEST_WAIT_SECONDS = 2 * TRANSACTION_TIMEOUT_SECONDS
"""For the groups before: as long as the last attempt at one of them may take."""
_READ_BACK_SECONDS = 3
"""Everybody behind the group waits for it."""
_TIME_TO_COMMIT_SECONDS = 2
"""With less left of its time a group is not committed: the driver would not send it, nor say so."""

Acts = Sequence[tuple[Command, Record]]
WriteActs = Callable[[Acts, Session], Awaitable[None]]
"""Writes what the audit keeps of acts, in the transaction of their group."""
Committed = Callable[[Seal, Sequence[Record]], None]
"""Is given each group once it is committed, in the order of the seals."""

_group_size = Histogram(
    "bankctl_ledger_group_size",
    "Commands in one commit",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
_settled = prometheus_client.Counter("bankctl_commands_settled", "Commands settled", ["kind", "status"])
_log = structlog.get_logger()


class InexactError(Exception):
    """Refusals rest on what may lag or was not looked for; nothing was written, and all is read now."""


@dataclass(slots=True)
class _Attempts:
    """What attempts at a group leave to the next one."""

    look_for_keys: bool = False
    named: set[str] = field(default_factory=set)
    exactly: set[str] = field(default_factory=set)
    begun: float = field(default_factory=time.monotonic)
    """When the present transaction was begun, or was to be."""
    failed_before: bool = False
    """From then on the group relies on nothing uncommitted: so those before it are undone once at most."""


@dataclass(frozen=True, slots=True)
class _Written:
    """What a transaction has written, to be kept once it is committed."""

    decision: GroupDecision
    sealed: SealedGroup | None


class Pipeline:
    """Gathers commands into groups, has each decided and written, and answers every command on its own."""

    def __init__(
        self,
        client: Client,
        journal: Journal,
        accounts: AccountCache,
        *,
        clock: Callable[[], datetime],
        committed: Committed,
        write_acts: WriteActs | None = None,
        fenced: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._journal = journal
        self._accounts = accounts
        self._clock = clock
        self._committed = committed
        self._write_acts = write_acts
        self._fenced = fenced
        self._moved = False
        self._queue = GroupQueue()
        self._order = CommitOrder()
        self._head: Head | None = None
        """Where the committed chain ends, as far as this process knows; None: it must be read."""
        self._recent_keys = RecentKeys()
        self._in_flight: set[bytes] = set()
        self._looking = False
        self._closing = False
        self._idle = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._commits: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Commit in the running event loop from now on."""
        # Asking for it costs a system call, and thousands of futures are made each second.
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Settle everything that waits, then stop."""
        self._closing = True
        if not self._queue.idle:
            await self._idle.wait()

    def move(self) -> None:
        """Decide nothing more, for another process is the ledger: what is not committed yet fails.

        It fails with a NotTakenError.
        """
        self._moved = True

    async def submit(self, command: Command) -> Outcome:
        """Wait until the command is settled. Cancelling the caller does not cancel the commit.

        Raises:
            TransientError: too much waits already, or the database does not answer; nothing was done.
            ConflictError: the same key is being settled right now.
            OutcomeUnknownError: it may have been done.
            BankError: a rule refused it, and nothing of that is kept.
        """
        # Cancelling this wait cancels the answer only; the commit is a task of its own.
        return await self.enqueue(command)

    def enqueue(self, command: Command, batch: Batch | None = None) -> asyncio.Future[Outcome]:
        """Let the command wait for its group, behind all that came before; see `submit`.

        One of a batch fails with a ConflictError if the batch before turns out not to be settled.
        """
        self._refuse_if_overloaded()
        if command.idempotency_id in self._in_flight:
            raise key_in_use()
        return self._let_wait(command, batch)

    def enqueue_atomic(
        self, commands: Sequence[Command], batch: Batch | None = None
    ) -> list[asyncio.Future[Outcome]]:
        """Let commands wait that are done all or none, in a group of their own; see `enqueue`.

        If they are refused, each fails with its own reason, and those done before tell what became of them.
        """
        self._refuse_if_overloaded()
        ids = {command.idempotency_id for command in commands}
        if len(ids) < len(commands) or not ids.isdisjoint(self._in_flight):
            raise key_in_use()
        return [
            self._let_wait(command, batch, atomic_size=0 if place else len(commands))
            for place, command in enumerate(commands)
        ]

    def _refuse_if_overloaded(self) -> None:
        if self._closing or len(self._queue) >= WAITING_LIMIT:
            raise TransientError(
                "overloaded", "The bank has too much to do; try again shortly.", retry_after_seconds=1
            )

    def _let_wait(
        self, command: Command, batch: Batch | None, *, atomic_size: int = 0
    ) -> asyncio.Future[Outcome]:
        answer: asyncio.Future[Outcome] = self._loop.create_future()
        self._in_flight.add(command.idempotency_id)
        if batch is not None:
            batch.join()
        self._queue.add(Waiting(command, answer, batch, atomic_size))
        self._look_soon()
        return answer

    def _look_soon(self) -> None:
        """Begin the next groups, but after everything that arrives at this moment: it is to be in them."""
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._looking = False
        while (group := self._queue.begin(at_once=_GROUPS_AT_ONCE)) is not None:
            self._commit(group)
        if self._closing and self._queue.idle:
            self._idle.set()

    def _commit(self, group: Group) -> None:
        place = self._order.join()
        settling = self._settle(group.members, place, atomic=group.atomic)
        commit = asyncio.create_task(settling, name="commit")
        self._commits.add(commit)

        def ended(_: asyncio.Task[None]) -> None:
            place.leave()
            self._commits.discard(commit)
            self._queue.end(group)
            self._look_soon()

        commit.add_done_callback(ended)

    async def _settle(self, members: list[Waiting], place: Place, *, atomic: bool) -> None:
        try:
            answers = await self._write(members, place, atomic=atomic)
        except (BankError, LedgerMovedError) as error:
            self._fail(members, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, every waiting request gets an answer
            await self._isolate(members, place, error, atomic=atomic)
        else:
            self._answer(members, answers)

    async def _isolate(self, members: list[Waiting], place: Place, error: Exception, *, atomic: bool) -> None:
        """Halve a group that cannot be written until the command at fault stands alone: only that fails."""
        if not members:
            return
        if len(members) == 1 or atomic:
            _log.error("command cannot be carried out", exc_info=error)
            await self._settle_unforeseen(members)
            return
        middle = len(members) // 2
        for half in (members[:middle], members[middle:]):
            await self._settle(half, place, atomic=False)

    async def _settle_unforeseen(self, members: list[Waiting]) -> None:
        """Tell what became of commands at which something unforeseen broke, perhaps after their commit."""
        try:
            stored = await self._stored(members)
        except OutcomeUnknownError as unknown:
            self._fail(members, unknown)
            return
        commands = [waiting.command for waiting in members]
        if all(command.idempotency_id in stored for command in commands):
            self._forget_what_is_known()
            self._answer(
                members, [outcome_of(command, stored[command.idempotency_id]) for command in commands]
            )
        else:
            self._fail(members, BankError("internal", "This request cannot be posted; nothing was changed."))

    async def _write(self, members: list[Waiting], place: Place, *, atomic: bool) -> list[Answer]:
        """Decide and write a group, all or nothing; the answers are in the order of its members."""
        attempts = _Attempts(look_for_keys=atomic)
        attempt = partial(self._attempt, members, place, attempts, atomic)
        try:
            deadline = time.monotonic() + TRANSACTION_TIMEOUT_SECONDS
            while time.monotonic() < deadline:
                # Waiting here is not counted against the time of the group's own transaction.
                await self._begin(place, attempts)
                attempts.begun = time.monotonic()
                try:
                    written = await run_transaction(self._client, attempt)
                except DuplicateKeyError as error:
                    self._learn(attempts, error)
                except (InexactError, UndoneError):
                    continue
                else:
                    await self._keep(written, place)
                    return written.decision.answers
        except OutcomeUnknownError:
            place.give_up()
            self._forget_what_is_known()
            return await self._read_back(members)
        except BaseException:
            place.give_up()
            raise
        place.give_up()
        raise _busy()

    async def _begin(self, place: Place, attempts: _Attempts) -> None:
        """Undo what was tried before, and wait until it is known on what the group is decided.

        That may be uncommitted at the first attempt only.

        Raises:
            TransientError: those before take too long; nothing was written.
        """
        place.begin()
        if place.is_first:
            # The rule for lone commands: no timer need be set for them.
            return
        try:
            async with asyncio.timeout(_LONGEST_WAIT_SECONDS):
                if attempts.failed_before:
                    await place.until_nobody_is_before()
                else:
                    await place.until_those_before_are_decided()
        except TimeoutError as error:
            raise _busy() from error

    async def _attempt(
        self, members: list[Waiting], place: Place, attempts: _Attempts, atomic: bool, session: Session
    ) -> _Written:
        """Do it once. New keys are the rule, so they are not looked for: the unique index tells of others."""
        await self._begin(place, attempts)
        if self._moved:
            raise NotTakenError
        attempts.failed_before = True
        self._refuse_what_must_not_begin(members)
        commands = [waiting.command for waiting in members]
        keys = [command.idempotency_id for command in commands]
        head = place.uncommitted_head() or self._head
        if head is None:
            head = await self._journal.head(session=session)
            self._head = head
        named = {id_ for command in commands for id_ in command.accounts()}
        attempts.named = named
        accounts = await self._accounts.read(named, place.uncommitted(named), attempts.exactly, session)
        look_for_keys = attempts.look_for_keys or self._recent_keys.any_of(keys)
        stored = await self._journal.by_key(keys, session=session) if look_for_keys else {}
        decide = decide_atomic_group if atomic else decide_group
        now = self._clock()
        decision = decide(commands, accounts=accounts, stored=stored, now=now)
        # Nothing is inserted for a refusal that is not kept, so no index says that its key is stored.
        refused = not look_for_keys and any(isinstance(answer, BankError) for answer in decision.answers)
        if refused or not decision.inexact <= attempts.exactly:
            attempts.look_for_keys |= refused
            attempts.exactly |= decision.inexact
            # What is not written undoes nothing behind it, so that this attempt does not count.
            attempts.failed_before = False
            raise InexactError
        sealed = self._journal.seal(decision.records, head, at=now) if decision.records else None
        place.decide(decision.changed, None if sealed is None else sealed.head)
        if sealed is not None:
            await self._journal.append(sealed, session=session)
            changed = decision.changed
            await self._accounts.write_terms([changed[id_] for id_ in decision.new_terms], session=session)
        elif len(stored) < len(commands) and await self._journal.has_seal(head.number + 1, session=session):
            # A refusal that is not kept has no number to guard it.
            self._forget_what_is_known()
            raise UndoneError
        # Until then a group has written nothing that another one before it could want to write.
        await place.until_those_before_are_committed()
        if time.monotonic() - attempts.begun > TRANSACTION_TIMEOUT_SECONDS - _TIME_TO_COMMIT_SECONDS:
            raise UndoneError
        if decision.acts and self._write_acts is not None:
            await self._write_acts(decision.acts, session)
        return _Written(decision, sealed)

    async def _keep(self, written: _Written, place: Place) -> None:
        """Remember what is known now, before those behind may rely on it."""
        decision, sealed = written.decision, written.sealed
        no_room_for: list[Account] = []
        if sealed is not None:
            self._head = sealed.head
            self._recent_keys.add([record.idempotency_id for record in decision.records])
            no_room_for = self._accounts.keep(decision.changed.values())
            self._committed(sealed.seal, decision.records)
        place.commit()
        if no_room_for:
            await self._accounts.write_back(no_room_for)

    def _learn(self, attempts: _Attempts, error: DuplicateKeyError) -> None:
        """Read more the next time: keys that are stored already, or what another process has written."""
        key = (error.details or {}).get("keyValue", {})
        account = key.get(HISTORY_FIELDS[0])
        if "idem" in key or isinstance(key.get("_id"), UUID):
            # The record's id is taken where its own command was sent again.
            attempts.look_for_keys = True
        elif account is not None:
            # The group's other accounts may lag as well: after a takeover all do, and finding them one by one
            # takes an attempt for each.
            self._accounts.forget(attempts.named)
            attempts.exactly |= attempts.named
        else:
            # The seal's number: another process has been the ledger meanwhile, or is.
            self._forget_what_is_known()
            self._fenced()

    def _forget_what_is_known(self) -> None:
        self._head = None
        self._accounts.forget_all()

    async def _read_back(self, members: Sequence[Waiting]) -> list[Answer]:
        """After an unknown commit: what is stored was done; what is not may still come: it stays unknown."""
        commands = [waiting.command for waiting in members]
        stored = await self._stored(members)
        if any(command.idempotency_id not in stored for command in commands):
            raise outcome_unknown()
        return [outcome_of(command, stored[command.idempotency_id]) for command in commands]

    async def _stored(self, members: Sequence[Waiting]) -> Stored:
        try:
            with pymongo.timeout(_READ_BACK_SECONDS):
                return await self._journal.by_key([waiting.command.idempotency_id for waiting in members])
        except PyMongoError as error:
            raise outcome_unknown() from error

    def _answer(self, members: Sequence[Waiting], answers: Sequence[Answer]) -> None:
        if members:
            _group_size.observe(len(members))
        count: Counter[tuple[str, str]] = Counter()
        for waiting, answer in zip(members, answers, strict=True):
            if isinstance(answer, BankError):
                self._fail([waiting], answer)
                continue
            self._in_flight.discard(waiting.command.idempotency_id)
            if not answer.replayed and not answer.key_reused:
                count[answer.record.kind, answer.record.status.value] += 1
            if waiting.batch is not None:
                waiting.batch.end(None)
            if not waiting.answer.done():
                waiting.answer.set_result(answer)
        for (kind, status), number in count.items():
            _settled.labels(kind, status).inc(number)

    def _refuse_what_must_not_begin(self, members: list[Waiting]) -> None:
        """Refuse what follows an unsettled batch.

        It is asked whenever a group is decided. All before it is decided by then, and if that is undone, so
        is the group, and it is asked again: nothing is committed before it is known how those before end.
        """
        batches = {waiting.batch for waiting in members}
        if not any(batch is not None and batch.must_not_begin for batch in batches):
            return
        kept: list[Waiting] = []
        for waiting in members:
            # One after another: what is refused here leaves its own batch unsettled for the next.
            if waiting.batch is not None and waiting.batch.must_not_begin:
                self._fail([waiting], before_not_settled())
            else:
                kept.append(waiting)
        members[:] = kept

    def _fail(self, members: Sequence[Waiting], error: BankError | LedgerMovedError) -> None:
        for waiting in members:
            if waiting.batch is not None:
                waiting.batch.end(error if isinstance(error, BankError) else _busy())
            self._in_flight.discard(waiting.command.idempotency_id)
            if not waiting.answer.done():
                waiting.answer.set_exception(error)
                # The caller may be gone: its error must not be reported as never retrieved.
                waiting.answer.exception()


def key_in_use() -> ConflictError:
    """The error for a key under which a request is being settled."""
    return ConflictError(
        Code.KEY_IN_USE,
        "A request with this Idempotency-Key is being settled; repeat it shortly for its answer.",
        retry_after_seconds=1,
    )


def outcome_unknown() -> OutcomeUnknownError:
    """The error when a command may or may not have been carried out."""
    return OutcomeUnknownError(
        "outcome_unknown",
        "It is not known whether this was posted; repeat it with the same Idempotency-Key, it is safe.",
        retry_after_seconds=1,
    )


def _busy() -> TransientError:
    return TransientError(
        "unavailable", "The ledger is busy; nothing was posted, try again.", retry_after_seconds=1
    )
