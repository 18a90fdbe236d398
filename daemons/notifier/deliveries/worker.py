"""Sends what is owed: one notifier at a time, by a lease, and to each recipient in order."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog
from prometheus_client import Counter, Gauge, Histogram
from pymongo.errors import PyMongoError

from daemons.contracts.errors import BankError, TransientError
from daemons.contracts.names import DeliveryState
from daemons.notifier.channels.port import Channel, Message, Refused, Unavailable
from daemons.notifier.deliveries.delivery import Delivery, Outcome, Patience
from daemons.notifier.deliveries.storage import Lane, MongoDeliveries
from daemons.shared.clock import Clock, utc_now
from daemons.shared.lease import LEASE_SECONDS, RENEW_SECONDS, NamedLease
from daemons.shared.tasks import end_task, is_set_within

LEASE_NAME = "deliveries"
_SCAN_SECONDS = 0.25
"""How soon deliveries that another process has recorded are seen; one's own are seen at once."""
_SCANNED_AT_ONCE = 1_000
_MOST_LANES = 50_000
"""How many lanes are kept in memory at once; the others are looked at when some of them are empty."""
_DATABASE_PAUSE_SECONDS = 0.5
_outcomes = Counter("bankctl_notifier_deliveries", "Attempts to deliver, by outcome", ["channel", "outcome"])
_seconds_to_send = Histogram(
    "bankctl_notifier_delivery_seconds",
    "Time from a delivery being owed to its being sent",
    ["channel"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600, 86400),
)
_sends = Gauge("bankctl_notifier_sends_deliveries", "1 in the notifier that sends what is owed")
_log = structlog.get_logger()


class NotYetError(Exception):
    """It is not time to send it yet, by the recipient's own wish."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"not before {until:%Y-%m-%d %H:%M} UTC")
        self.until = until


class Composer(Protocol):
    """Makes the message of a delivery when it is about to be sent."""

    async def __call__(self, delivery: Delivery) -> Message:
        """Return the message.

        Raises:
            NotYetError: it must wait.
            Refused: there is nothing to send, or nobody to send it to.
            Unavailable, TransientError: what it needs cannot be had now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Outlet:
    """A channel, what writes its messages, how many it sends at once, and how long one may take."""

    channel: Channel
    compose: Composer
    at_once: int = 16
    send_seconds: float = 30.0


class DeliveryWorker:
    """Sends while this process holds the lease. The lease saves double sends; nothing is lost without it."""

    def __init__(
        self,
        store: MongoDeliveries,
        lease: NamedLease,
        outlets: Mapping[str, Outlet],
        *,
        patience: Patience | None = None,
        clock: Clock = utc_now,
        chance: Callable[[], float] = random.random,
        drain_seconds: float = 10.0,
    ) -> None:
        self._lease = lease
        self._drain_seconds = drain_seconds
        self._sending = _Sending(store, outlets, patience or Patience(), clock, chance)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to ask for the lease."""
        self._task = asyncio.create_task(self._run(), name="deliveries")

    def wake(self) -> None:
        """Something has just been recorded."""
        self._sending.wake()

    async def close(self) -> None:
        """Finish what is being sent, and give the lease back."""
        if self._task is None:
            return
        await self._sending.drain(self._drain_seconds)
        await end_task(self._task)
        await self._sending.stop()
        with contextlib.suppress(PyMongoError):
            await self._lease.release()

    async def _run(self) -> None:
        while True:
            asked = time.monotonic()
            try:
                async with asyncio.timeout(LEASE_SECONDS):
                    holder = await self._lease.take()
            except (PyMongoError, TimeoutError) as error:
                _log.warning("the lease of deliveries cannot be asked for", error=type(error).__name__)
            else:
                self._sending.until = asked + LEASE_SECONDS if holder.id == self._lease.id else 0.0
            if time.monotonic() < self._sending.until:
                self._sending.start()
            else:
                await self._sending.stop()
            await asyncio.sleep(RENEW_SECONDS)


@dataclass(slots=True, eq=False)
class _LaneState:
    lane: Lane
    is_seen_again: bool = False
    """The scan has met another delivery of it since it was last looked at."""
    timer: asyncio.TimerHandle | None = None


class _Sending:
    """Lanes with something unsettled, in memory: ready, being served, or waiting for their time."""

    def __init__(
        self,
        store: MongoDeliveries,
        outlets: Mapping[str, Outlet],
        patience: Patience,
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self.until = 0.0
        """Until when, by the monotonic clock, this process holds the lease for sure."""
        self._store = store
        self._outlets = outlets
        self._patience = patience
        self._clock = clock
        self._chance = chance
        self._woken = asyncio.Event()
        self._lanes: dict[Lane, _LaneState] = {}
        self._ready: dict[str, asyncio.Queue[_LaneState]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._in_flight = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._is_draining = False

    def wake(self) -> None:
        """Look for new deliveries at once."""
        self._woken.set()

    def start(self) -> None:
        """Begin to send, unless it does."""
        if self._tasks or self._is_draining:
            return
        _sends.set(1)
        self._lanes = {}
        self._ready = {name: asyncio.Queue() for name in self._outlets}
        self._tasks = [asyncio.create_task(self._scan(), name="deliveries-scan")]
        for name, outlet in self._outlets.items():
            self._tasks += [
                asyncio.create_task(self._serve(name, outlet), name=f"deliveries-{name}-{number}")
                for number in range(outlet.at_once)
            ]

    async def drain(self, seconds: float) -> None:
        """Begin nothing more, and wait for what is being sent."""
        self._is_draining = True
        await is_set_within(self._is_idle, seconds)

    async def stop(self) -> None:
        """Stop sending at once; what was being sent is sent again by the process that comes next."""
        _sends.set(0)
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            await end_task(task)
        for state in self._lanes.values():
            if state.timer is not None:
                state.timer.cancel()
        self._lanes = {}

    async def _scan(self) -> None:
        """Find lanes: each delivery is met once, in the order of turns."""
        turn = 0
        while True:
            found: list[tuple[int, Lane]] = []
            self._woken.clear()
            if len(self._lanes) < _MOST_LANES:
                try:
                    found = await self._store.lanes_after(turn, limit=_SCANNED_AT_ONCE)
                except TransientError:
                    await asyncio.sleep(_DATABASE_PAUSE_SECONDS)
                    continue
            for turn, lane in found:  # noqa: B007 - the last one is where the next scan begins
                self._meet(lane)
            if len(found) < _SCANNED_AT_ONCE:
                await is_set_within(self._woken, _SCAN_SECONDS)

    def _meet(self, lane: Lane) -> None:
        known = self._lanes.get(lane)
        if known is not None:
            known.is_seen_again = True
        elif lane[0] in self._ready:
            self._lanes[lane] = state = _LaneState(lane)
            self._ready[lane[0]].put_nowait(state)

    async def _serve(self, name: str, outlet: Outlet) -> None:
        """Serve lanes of one channel, one delivery at a time: what is slow holds up its own lane only."""
        ready = self._ready[name]
        while True:
            state = await ready.get()
            if self._is_draining or time.monotonic() >= self.until:
                # Somebody else may hold the lease; if it comes back, this one goes on where it was.
                self._wait(state, RENEW_SECONDS)
                continue
            with self._flight():
                try:
                    await self._advance(state, outlet)
                except TransientError:
                    self._wait(state, _DATABASE_PAUSE_SECONDS)

    @contextlib.contextmanager
    def _flight(self) -> Iterator[None]:
        self._in_flight += 1
        self._is_idle.clear()
        try:
            yield
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._is_idle.set()

    async def _advance(self, state: _LaneState, outlet: Outlet) -> None:
        state.is_seen_again = False
        delivery = await self._store.head_of(state.lane)
        if delivery is None:
            if state.is_seen_again:
                self._ready[state.lane[0]].put_nowait(state)
            else:
                del self._lanes[state.lane]
            return
        now = self._clock()
        if delivery.due_at is not None and delivery.due_at > now:
            self._wait(state, (delivery.due_at - now).total_seconds())
            return
        outcome = await self._attempt(delivery, outlet)
        await self._keep(delivery, outcome)
        self._ready[state.lane[0]].put_nowait(state)

    def _wait(self, state: _LaneState, seconds: float) -> None:
        ready = self._ready[state.lane[0]]
        state.timer = asyncio.get_running_loop().call_later(seconds, ready.put_nowait, state)

    async def _attempt(self, delivery: Delivery, outlet: Outlet) -> Outcome:
        try:
            async with asyncio.timeout(outlet.send_seconds):
                message = await outlet.compose(delivery)
                await outlet.channel.send(message)
        except NotYetError as error:
            return Outcome(
                delivery.state, self._clock(), due_at=error.until, fault=str(error), is_attempt=False
            )
        except Refused as error:
            return Outcome(DeliveryState.GIVEN_UP, self._clock(), fault=str(error))
        except TimeoutError:
            return self._failed(delivery, f"no end within {outlet.send_seconds:g} s")
        except (Unavailable, BankError) as error:
            return self._failed(delivery, str(error))
        except Exception as error:  # noqa: BLE001 - see below
            # A fault of ours must not stop the channel; it is tried again and seen in the log.
            _log.exception("a delivery failed unexpectedly", delivery_id=str(delivery.id))
            return self._failed(delivery, f"unexpected: {type(error).__name__}")
        return Outcome(DeliveryState.SENT, self._clock())

    def _failed(self, delivery: Delivery, fault: str) -> Outcome:
        return self._patience.after_failure(delivery, at=self._clock(), chance=self._chance(), fault=fault)

    async def _keep(self, delivery: Delivery, outcome: Outcome) -> None:
        """Write the outcome down, however long the database is away: else a sent one went out again."""
        while True:
            try:
                await self._store.keep(delivery, outcome)
            except TransientError:
                await asyncio.sleep(_DATABASE_PAUSE_SECONDS)
            else:
                break
        _outcomes.labels(delivery.owed.channel, outcome.state.value).inc()
        if outcome.state is DeliveryState.SENT:
            _seconds_to_send.labels(delivery.owed.channel).observe(
                max(0.0, (outcome.at - delivery.created_at).total_seconds())
            )
        elif outcome.is_attempt:
            _log.warning(
                "a delivery did not go out",
                delivery_id=str(delivery.id),
                channel=delivery.owed.channel,
                state=outcome.state.value,
                attempts=delivery.attempts + 1,
                fault=outcome.fault,
            )
