"""One process of banking_api among those over one database: the ledger, or a front of it.

The process that holds the lease decides, seals and relays; a call stays in its memory. All others hand
commands to it over a stream. A front that finds the ledger gone tries to take the lease. What a lone command
has no answer to is sent again under its own id, so that it is done once whichever ledger it reaches.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from typing import Any
from uuid import UUID

import structlog
from prometheus_client import Gauge
from pymongo.errors import PyMongoError

from daemons.banking_api.ledger.batches import Batches, Turn
from daemons.banking_api.ledger.front import FrontStream, RemoteTurn
from daemons.banking_api.ledger.lease import Lease
from daemons.banking_api.ledger.ledger import BatchTurn, LedgerMovedError, NotTakenError, no_ledger, settles
from daemons.banking_api.ledger.pipeline import Pipeline, outcome_unknown
from daemons.banking_api.ledger.record import Command, Outcome
from daemons.banking_api.ledger.server import LedgerServer
from daemons.banking_api.ledger.tls import StreamTls
from daemons.contracts.errors import BankError
from daemons.shared.lease import RENEW_SECONDS
from daemons.shared.tasks import end_task, is_set_within

PATIENCE_SECONDS = 10.0
"""How long a lone command waits for a ledger: longer than a lease lasts, shorter than clients wait."""
_WITHOUT_LEDGER_SECONDS = 0.1
_is_ledger = Gauge("bankctl_is_ledger", "1 in the process that decides and relays")
_log = structlog.get_logger()

Run = Callable[[Callable[[], None]], AbstractAsyncContextManager[Pipeline]]
"""Runs pipeline and relay; at the end it settles what waits, and writes down what only it knows.

It is given what to call when another process was found to write to the ledger.
"""


class LedgerNode:
    """Carries commands out by whichever process is the ledger; see `ledger.Ledger`."""

    def __init__(
        self,
        lease: Lease,
        server: LedgerServer,
        run: Run,
        *,
        token: Callable[[], str],
        tls: StreamTls | None = None,
    ) -> None:
        self._lease = lease
        self._server = server
        self._run_ledger = run
        self._token = token
        self._tls = tls
        self._address = ""
        self._batches = Batches()
        self._local: Pipeline | None = None
        self._running = AsyncExitStack()
        self._stream: FrontStream | None = None
        self._stream_address = ""
        self._hanging_up: set[asyncio.Task[None]] = set()
        self._stepping_down: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_ledger(self) -> bool:
        """Whether this process decides and relays."""
        return self._local is not None

    async def start(self, address: str) -> None:
        """Find a role; `address` is where this process's server listens."""
        self._address = address
        await self._find_role()
        self._task = asyncio.create_task(self._keep_role(), name="ledger-role")

    async def close(self) -> None:
        """Settle what waits, and hand over."""
        if self._task is not None:
            await end_task(self._task)
        await self._until_stepped_down()
        self._server.move()
        self._step_down()
        await self._until_stepped_down()
        try:
            # Fronts may find the next ledger while they hear the last answers of this one.
            await self._lease.release()
        except PyMongoError:
            _log.info("lease not released, it will run out")
        await self._server.hang_up()
        self._leave_stream()
        if self._hanging_up:
            await asyncio.wait(self._hanging_up)

    async def submit(self, command: Command) -> Outcome:
        """Wait until the command is settled; see `Pipeline.submit`."""
        may_be_done = False
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while True:
            local, stream = self._local, self._stream
            try:
                if local is not None:
                    return await local.submit(command)
                if stream is not None and stream.takes_commands:
                    [answer] = stream.enqueue([command], atomic=False)
                    return await answer
            except LedgerMovedError as error:
                may_be_done |= not isinstance(error, NotTakenError)
                self._changed.set()
            except BankError as error:
                # What was sent before may have been done, of which this attempt says nothing.
                if not may_be_done or settles(error):
                    raise
            if asyncio.get_running_loop().time() > deadline:
                raise outcome_unknown() if may_be_done else no_ledger()
            await asyncio.sleep(_WITHOUT_LEDGER_SECONDS)

    @contextmanager
    def turn(self, user_id: UUID, *, last_key: str, after: str | None) -> Iterator[BatchTurn]:
        """Give a batch its turn, at the ledger; see `Batches.turn`."""
        opener: Batches | FrontStream
        if self._local is not None:
            opener = self._batches
        elif self._stream is not None and self._stream.takes_commands:
            opener = self._stream
        else:
            raise no_ledger()
        with opener.turn(user_id, last_key=last_key, after=after) as turn:
            yield turn

    def enqueue(self, command: Command, turn: BatchTurn) -> asyncio.Future[Outcome]:
        """Let a command of a batch wait for its group; see `Pipeline.enqueue`."""
        if isinstance(turn, RemoteTurn):
            return turn.enqueue([command], atomic=False)[0]
        pipeline, batch = self._here(turn)
        return pipeline.enqueue(command, batch)

    def enqueue_atomic(self, commands: Sequence[Command], turn: BatchTurn) -> list[asyncio.Future[Outcome]]:
        """Let commands wait that are done all or none; see `Pipeline.enqueue_atomic`."""
        if isinstance(turn, RemoteTurn):
            return turn.enqueue(commands, atomic=True)
        pipeline, batch = self._here(turn)
        return pipeline.enqueue_atomic(commands, batch)

    def _here(self, turn: BatchTurn) -> tuple[Pipeline, Any]:
        if self._local is None or not isinstance(turn, Turn):
            raise no_ledger()
        return self._local, turn.batch

    async def _keep_role(self) -> None:
        while True:
            known = self._local is not None or (self._stream is not None and self._stream.takes_commands)
            await is_set_within(self._changed, RENEW_SECONDS if known else _WITHOUT_LEDGER_SECONDS)
            self._changed.clear()
            try:
                await self._find_role()
            except (PyMongoError, BankError) as error:
                _log.warning("role not known", reason=str(error))
            except Exception:  # noqa: BLE001 - the next attempt may succeed
                _log.exception("role not taken")
            # A ledger that was killed is looked for until its lease runs out, and not without a pause.
            await asyncio.sleep(_WITHOUT_LEDGER_SECONDS)

    async def _find_role(self) -> None:
        holder = await self._lease.take(self._address)
        if holder.id == self._lease.id:
            if self._local is None:
                await self._become_ledger(took_over=holder.took_over)
            return
        if self._local is not None:
            _log.warning("another process is the ledger now", address=holder.address)
            self._server.move()
            self._local.move()
            # What waits here is settled meanwhile: that may take longer than new commands have patience.
            self._step_down()
        if self._stream is None or not self._stream.takes_commands or self._stream_address != holder.address:
            self._leave_stream()
            self._stream = FrontStream(
                holder.address, token=self._token, tls=self._tls, moved=self._changed.set
            )
            self._stream_address = holder.address
            self._stream.start()

    async def _end_what_was_left_open(self) -> None:
        try:
            await self._lease.end_what_was_left_open()
        except PyMongoError as error:
            # The server gives it up by itself some time.
            _log.warning("what was left open is not ended", reason=str(error))

    async def _become_ledger(self, *, took_over: bool) -> None:
        await self._until_stepped_down(patience_seconds=RENEW_SECONDS)
        if self._stepping_down is not None:
            # The lease is renewed before the next look.
            return
        if took_over:
            await self._end_what_was_left_open()
        self._leave_stream()
        self._local = await self._running.enter_async_context(self._run_ledger(self._changed.set))
        self._batches = Batches()
        self._server.serve(self._local, self._batches)
        _is_ledger.set(1)
        _log.info("this process is the ledger now")

    def _step_down(self) -> None:
        """Begin to settle and stop what this process is the ledger with, in a task that nothing cancels."""
        self._local = None
        _is_ledger.set(0)
        running, self._running = self._running, AsyncExitStack()
        self._stepping_down = asyncio.create_task(self._end(running), name="ledger-step-down")

    async def _end(self, running: AsyncExitStack) -> None:
        try:
            await running.aclose()
        except Exception:  # noqa: BLE001 - streams are to be ended all the same
            _log.exception("the ledger did not stop as it should")
        self._stepping_down = None
        await self._server.hang_up()

    async def _until_stepped_down(self, patience_seconds: float | None = None) -> None:
        if self._stepping_down is not None:
            await asyncio.wait({self._stepping_down}, timeout=patience_seconds)

    def _leave_stream(self) -> None:
        """Hang up in a task of its own: what an old ledger still answers is waited for."""
        stream, self._stream = self._stream, None
        if stream is not None:
            hanging_up = asyncio.create_task(stream.close(), name="ledger-front-close")
            self._hanging_up.add(hanging_up)
            hanging_up.add_done_callback(self._hanging_up.discard)
