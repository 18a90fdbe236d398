"""Commits many commands at once: while groups are being committed, the next one gathers.

There is no timer: a lone command is committed at once, and a busy daemon's groups grow by themselves until
one database transaction carries hundreds of transfers, also when all of them touch the same account. Several
groups are written side by side and committed in their order, so that database and daemon need not wait for
each other (docs/adr/0019).
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from uuid import UUID

import prometheus_client
import structlog
from prometheus_client import Histogram

from daemons.banking_api.domain.decision import (
    GroupDecision,
    NothingPostedError,
    Outcome,
    decide_atomic_group,
    decide_group,
)
from daemons.banking_api.domain.journal import JournalTransaction, PostingCommand
from daemons.banking_api.services.gathering import Gathering, Group, Waiting
from daemons.banking_api.services.succession import Batch, before_not_settled
from daemons.banking_api.storage.commit_order import Place
from daemons.banking_api.storage.mongo_ledger import Accounts, MongoLedger, Stored
from daemons.contracts.errors import BankError, ConflictError, TransientError

WAITING_LIMIT = 8192

_group_size = Histogram(
    "bankctl_commit_group_size",
    "Commands in one commit",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
_posted = prometheus_client.Counter("bankctl_commands_posted", "Commands settled", ["kind", "status"])
_log = structlog.get_logger()


class CommitEngine:
    """Gathers commands into groups, has each decided and written, and answers every command on its own."""

    def __init__(
        self,
        ledger: MongoLedger,
        *,
        clock: Callable[[], datetime],
        new_id: Callable[[], UUID],
        committed: Callable[[Sequence[JournalTransaction]], None],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._new_id = new_id
        self._committed = committed
        self._gathering = Gathering()
        self._in_flight: set[bytes] = set()
        self._looking = False
        self._closing = False
        self._idle = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._commits: dict[asyncio.Task[None], Group] = {}

    def start(self) -> None:
        """Commit in the running event loop from now on."""
        # Asking for it costs a system call, and thousands of futures are made each second.
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """Settle everything that waits, then stop."""
        self._closing = True
        if not self._gathering.idle:
            await self._idle.wait()

    async def post(self, command: PostingCommand) -> Outcome:
        """Wait until the command is settled. Cancelling the caller does not cancel the commit.

        Raises:
            TransientError: too much waits already, or the database does not answer; nothing was done.
            ConflictError: the same key is being settled right now.
            OutcomeUnknownError: it may have been posted.
        """
        # Cancelling this wait cancels the answer only; the commit is a task of its own.
        return await self.enqueue(command)

    async def post_alone(self, command: PostingCommand) -> Outcome:
        """Post the command as a group of its own: what refuses it as an act refuses nothing beside it.

        Raises:
            BankError: as `post`, and what the witness of acts raises; nothing was written then.
        """
        [outcome] = await self._ledger.post(lambda: [command], self._decide)
        posted = [] if outcome.replayed or outcome.key_reused else [outcome.transaction]
        self._count(posted)
        self._committed(posted)
        return outcome

    def enqueue(self, command: PostingCommand, batch: Batch | None = None) -> asyncio.Future[Outcome]:
        """Let the command wait for its group, behind all that came before; see `post`.

        One of a batch fails with a ConflictError if the batch before turns out not to be settled.
        """
        self._refuse_if_overloaded()
        if command.idempotency_id in self._in_flight:
            raise key_in_use()
        return self._let_wait(command, batch)

    def enqueue_atomic(
        self, commands: Sequence[PostingCommand], batch: Batch | None = None
    ) -> list[asyncio.Future[Outcome]]:
        """Let commands wait that are posted all or none, in a group of their own; see `enqueue`.

        If they are refused, each fails with its own reason, and those posted before tell what became of them.
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
        if self._closing or len(self._gathering) >= WAITING_LIMIT:
            raise TransientError(
                "overloaded", "The bank has too much to do; try again shortly.", retry_after_seconds=1
            )

    def _let_wait(
        self, command: PostingCommand, batch: Batch | None, *, atomic_size: int = 0
    ) -> asyncio.Future[Outcome]:
        answer: asyncio.Future[Outcome] = self._loop.create_future()
        self._in_flight.add(command.idempotency_id)
        if batch is not None:
            batch.join()
        self._gathering.add(Waiting(command, answer, batch, atomic_size))
        self._look_soon()
        return answer

    @asynccontextmanager
    async def holding_back(self, account_id: str) -> AsyncIterator[None]:
        """Post nothing on the account meanwhile: whoever changes it need not race with its payments.

        Payments that wait for it are posted afterwards; those of other processes are not held back.
        """
        reservation = self._gathering.reserve(account_id)
        try:
            under_way = [commit for commit, group in self._commits.items() if group.touches(account_id)]
            if under_way:
                await asyncio.wait(under_way)
            yield
        finally:
            self._gathering.release(reservation)
            self._look_soon()

    def _look_soon(self) -> None:
        """Begin the next groups, but after everything that arrives at this moment: it is to be in them."""
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        self._looking = False
        while (group := self._gathering.begin(at_once=self._ledger.groups_at_once)) is not None:
            self._commit(group)
        if self._closing and self._gathering.idle:
            self._idle.set()

    def _commit(self, group: Group) -> None:
        place = self._ledger.take_place()
        settling = self._settle(group.members, place, partial(self._join, group), atomic=group.atomic)
        commit = asyncio.create_task(settling, name="commit")
        self._commits[commit] = group

        def ended(_: asyncio.Task[None]) -> None:
            place.leave()
            del self._commits[commit]
            self._gathering.end(group)
            self._look_soon()

        commit.add_done_callback(ended)

    def _join(self, group: Group) -> None:
        """Where processes take turns a group waits for its own: it takes along what has come meanwhile."""
        if self._ledger.groups_at_once == 1:
            self._gathering.extend(group)

    async def _settle(
        self, members: list[Waiting], place: Place, join: Callable[[], None], *, atomic: bool
    ) -> None:
        def commands() -> list[PostingCommand]:
            join()
            self._refuse_what_must_not_begin(members)
            return [waiting.command for waiting in members]

        try:
            decide = self._decide_atomic if atomic else self._decide
            outcomes = await self._ledger.post(commands, decide, place, look_for_keys=atomic)
        except NothingPostedError as refused:
            self._refuse(members, refused.told)
        except BankError as error:
            self._fail(members, error)
        except Exception as error:  # noqa: BLE001 - whatever it is, every waiting request gets an answer
            await self._isolate(members, place, error, atomic=atomic)
        else:
            posted = [found.transaction for found in outcomes if not (found.replayed or found.key_reused)]
            self._answer(members, outcomes)
            if members:
                _group_size.observe(len(members))
            self._count(posted)
            self._committed(posted)

    def _decide(
        self, commands: Sequence[PostingCommand], accounts: Accounts, stored: Stored
    ) -> GroupDecision:
        return decide_group(
            commands, accounts=accounts, stored=stored, new_id=self._new_id, now=self._clock()
        )

    def _decide_atomic(
        self, commands: Sequence[PostingCommand], accounts: Accounts, stored: Stored
    ) -> GroupDecision:
        return decide_atomic_group(
            commands, accounts=accounts, stored=stored, new_id=self._new_id, now=self._clock()
        )

    async def _isolate(self, members: list[Waiting], place: Place, error: Exception, *, atomic: bool) -> None:
        """Halve a group that cannot be written until the command at fault stands alone: only that fails."""
        if not members:
            return
        if len(members) == 1 or atomic:
            _log.error("command cannot be posted", exc_info=error)
            self._fail(members, BankError("internal", "This request cannot be posted; nothing was changed."))
            return
        middle = len(members) // 2
        for half in (members[:middle], members[middle:]):
            await self._settle(half, place, _nobody, atomic=False)

    def _answer(self, members: Sequence[Waiting], outcomes: Sequence[Outcome]) -> None:
        for waiting, outcome in zip(members, outcomes, strict=True):
            self._in_flight.discard(waiting.command.idempotency_id)
            if waiting.batch is not None:
                waiting.batch.end(None)
            if not waiting.answer.done():
                waiting.answer.set_result(outcome)

    def _refuse(self, members: Sequence[Waiting], told: Sequence[Outcome | BankError]) -> None:
        """Answer an atomic batch of which nothing was posted."""
        for waiting, one in zip(members, told, strict=True):
            if isinstance(one, BankError):
                self._fail([waiting], one)
            else:
                self._answer([waiting], [one])

    @staticmethod
    def _count(posted: Sequence[JournalTransaction]) -> None:
        for (kind, status), count in Counter((found.kind, found.status) for found in posted).items():
            _posted.labels(kind.value, status.value).inc(count)

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

    def _fail(self, members: Sequence[Waiting], error: BankError) -> None:
        for waiting in members:
            if waiting.batch is not None:
                waiting.batch.end(error)
            self._in_flight.discard(waiting.command.idempotency_id)
            if not waiting.answer.done():
                waiting.answer.set_exception(error)
                # The caller may be gone: its error must not be reported as never retrieved.
                waiting.answer.exception()


def key_in_use() -> ConflictError:
    """The error for a key under which a request is being settled."""
    return ConflictError(
        "idempotency_key_in_use",
        "A request with this Idempotency-Key is being settled; repeat it shortly for its answer.",
        retry_after_seconds=1,
    )


def _nobody() -> None:
    """Join no group."""
