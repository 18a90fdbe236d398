"""Signs the journal's end each day, and hands each checkpoint to where the bank cannot take it back."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path

import structlog
from pymongo.errors import PyMongoError

from daemons.banking_api.books.checkpoints import Checkpoints, StoredCheckpoint
from daemons.contracts.errors import BankError
from daemons.shared.clock import Clock
from daemons.shared.mongo import Database
from daemons.shared.tasks import end_task, is_set_within

HandOut = Callable[[StoredCheckpoint], Awaitable[None]]
"""Takes one checkpoint somewhere; raises OSError or BankError where that must be tried again."""
LOOK_SECONDS = 2.0
"""After which the ledger looks for checkpoints that another process has made."""
_AT_ONCE = 100
_POSITION = "checkpoints"
_log = structlog.get_logger()


class CheckpointDistribution:
    """Runs in the ledger's process; each destination has a position of its own."""

    def __init__(
        self,
        database: Database,
        checkpoints: Checkpoints,
        destinations: Mapping[str, HandOut],
        *,
        every: timedelta,
        clock: Clock,
    ) -> None:
        self._positions = database["positions"]
        self._checkpoints = checkpoints
        self._destinations = destinations
        self._every = every
        self._clock = clock
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Tell that there is a new checkpoint."""
        self._wake.set()

    async def start(self) -> None:
        """Begin to look after checkpoints."""
        self._task = asyncio.create_task(self._run(), name="checkpoints")

    async def close(self) -> None:
        """Stop; what is not handed out yet is later."""
        if self._task is not None:
            await end_task(self._task)
            self._task = None

    async def _run(self) -> None:
        told = ""
        while True:
            self._wake.clear()
            try:
                await self._make_if_due()
                for name, hand_out in self._destinations.items():
                    await self._hand_out(name, hand_out)
            except (PyMongoError, BankError, OSError) as error:
                if str(error) != told:
                    _log.warning("checkpoints will be tried again", reason=str(error))
                told = str(error)
            except Exception:  # noqa: BLE001 - the next attempt may succeed, and without it nothing is signed
                _log.exception("checkpoints will be tried again")
            else:
                told = ""
            await is_set_within(self._wake, LOOK_SECONDS)

    async def _make_if_due(self) -> None:
        newest = await self._checkpoints.newest()
        if newest is None or self._clock() - newest.at >= self._every:
            await self._checkpoints.make()

    async def _hand_out(self, name: str, hand_out: HandOut) -> None:
        kept = await self._positions.find_one({"_id": _POSITION}) or {}
        position = int(kept.get(name, 0))
        while due := await self._checkpoints.after(position, limit=_AT_ONCE):
            for checkpoint in due:
                await hand_out(checkpoint)
                position = checkpoint.number
                await self._positions.update_one({"_id": _POSITION}, {"$max": {name: position}}, upsert=True)


def into_folder(folder: Path) -> HandOut:
    """Return what writes each checkpoint into a file of its own; one that is there is never changed."""

    def write(checkpoint: StoredCheckpoint) -> None:
        path = folder / f"checkpoint-{checkpoint.number:08}.txt"
        if path.exists():
            if path.read_text(encoding="utf-8") != checkpoint.note:
                _log.error("a checkpoint differs from the one that was handed out before", path=str(path))
            return
        partial = path.with_suffix(".partial")
        partial.write_text(checkpoint.note, encoding="utf-8")
        partial.replace(path)

    async def hand_out(checkpoint: StoredCheckpoint) -> None:
        await asyncio.to_thread(write, checkpoint)

    return hand_out
