"""`python -m bankctl.local.supervisor STACK`: the one process that keeps a stack's parts running.

It is started detached by `bankctl dev up` and ends on SIGTERM, after it has stopped the parts. When it is
killed, the parts live on; the next command starts another one, which takes them over.
"""

import asyncio
import fcntl
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import IO

from bankctl.local import settings as stack_settings
from bankctl.local.identity import Identity, marked
from bankctl.local.keeper import Keeper
from bankctl.local.layout import Layout
from bankctl.local.part import Health, Part
from bankctl.local.plan import plan
from bankctl.local.shutdown import Victim, stop
from bankctl.local.state import Intent, StackState

EXIT_ALREADY_RUNNING = 3
EXIT_NEVER_STARTED = 4
_FOLDER_SECONDS = 2.0


class Supervisor:
    """Runs the parts of one stack until it is told to stop."""

    def __init__(self, layout: Layout, stack_id: str, parts: list[Part]) -> None:
        self._layout = layout
        self._stack_id = stack_id
        # Each part occupies one thread that waits for its end, and at times one for a step.
        self._threads = ThreadPoolExecutor(max_workers=2 * len(parts) + 2)
        self._keepers = {
            part.name: Keeper(part, layout, stack_id, self._threads, self._save) for part in parts
        }
        self._state = StackState(
            Identity.of(os.getpid()), {name: k.state for name, k in self._keepers.items()}
        )

    async def run(self) -> None:
        """Take over what runs already, keep everything running, and stop it all at SIGTERM."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._retry)
        await loop.run_in_executor(self._threads, self._recover)
        self._save()
        keeping = [
            asyncio.create_task(keeper.keep([self._keepers[name] for name in keeper.part.after]))
            for keeper in self._keepers.values()
        ]
        ends = [asyncio.create_task(stopping.wait()), asyncio.create_task(self._deleted())]
        await asyncio.wait([*ends, *keeping], return_when=asyncio.FIRST_COMPLETED)
        for task in [*ends, *keeping]:
            if task.done() and not task.cancelled() and (fault := task.exception()):
                print(f"supervisor: stopping, because of {fault!r}", flush=True)  # noqa: T201 - its log is its stdout
            task.cancel()
        await asyncio.gather(*ends, *keeping, return_exceptions=True)
        await loop.run_in_executor(self._threads, self._stop)

    async def _deleted(self) -> None:
        """Wait until somebody deletes the stack's folder: then nothing may run on."""
        while self._layout.settings.exists():  # noqa: ASYNC110 - a folder has no event to wait for everywhere
            await asyncio.sleep(_FOLDER_SECONDS)

    def _retry(self) -> None:
        for keeper in self._keepers.values():
            keeper.retry_now()
        self._save()

    def _recover(self) -> None:
        """Adopt the recorded processes that run as they would be started now; end all others."""
        adopted = set()
        before = StackState.load(self._layout)
        for name, identity in before.identities().items():
            keeper = self._keepers.get(name)
            if keeper and before.parts[name].fingerprint == keeper.state.fingerprint:
                keeper.state.restarts = before.parts[name].restarts
                keeper.adopt(identity)
                adopted.add(identity.pid)
                print(f"supervisor: took over {name} (pid {identity.pid})", flush=True)  # noqa: T201 - same
        strays = [Victim(name, found) for name, found in marked(self._stack_id) if found.pid not in adopted]
        for stray in strays:
            print(f"supervisor: ending stray {stray.name} (pid {stray.identity.pid})", flush=True)  # noqa: T201 - same
        stop(strays)

    def _stop(self) -> None:
        for keeper in self._keepers.values():
            keeper.state.health, keeper.state.detail = Health.STOPPING, None
        self._save()
        stop(
            Victim(keeper.part.name, keeper.identity, keeper.part.stop_rank, keeper.part.stop_seconds)
            for keeper in self._keepers.values()
            if keeper.identity
        )
        stop(Victim(name, identity, rank=9) for name, identity in marked(self._stack_id))
        for keeper in self._keepers.values():
            keeper.state.health = Health.STOPPED
            keeper.state.pid = keeper.state.created = None
            keeper.state.since = time.time()
        self._state.supervisor = None
        self._save()

    def _save(self) -> None:
        if self._layout.settings.exists():
            self._state.save(self._layout)


def _lock(layout: Layout) -> IO[str] | None:
    """Hold the stack's lock for the life of this process; the system frees it however the process ends."""
    file = layout.supervisor_lock.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def main() -> int:
    """Detach from whoever started it, then supervise. The first process ends at once with 0."""
    layout = Layout.of(sys.argv[1])
    kept, intent = stack_settings.load(layout), Intent.load(layout)
    if kept is None or intent is None:
        return EXIT_NEVER_STARTED
    parts = plan(layout, kept, intent)
    # A grandchild belongs to no command, so nobody has to wait for it and it is never a zombie.
    if os.fork():
        return 0
    os.setsid()
    lock = _lock(layout)
    if lock is None:
        return EXIT_ALREADY_RUNNING
    with lock:
        asyncio.run(Supervisor(layout, kept.id, parts).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
