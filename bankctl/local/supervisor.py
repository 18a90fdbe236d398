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
from pathlib import Path
from typing import IO

from bankctl.errors import CliError
from bankctl.files import write_private
from bankctl.local import settings as stack_settings
from bankctl.local.identity import SUPERVISOR, Identity, marked
from bankctl.local.layout import Layout
from bankctl.local.part import Health, Part
from bankctl.local.plan import plan
from bankctl.local.process_runner import ProcessRunner
from bankctl.local.settings import Settings
from bankctl.local.shutdown import Victim, stop
from bankctl.local.state import Intent, StackState

EXIT_ALREADY_RUNNING = 3
EXIT_NEVER_STARTED = 4
_FILES_SECONDS = 0.5


class Supervisor:
    """Runs the parts of one stack until it is stopped."""

    def __init__(self, layout: Layout, settings: Settings, intent: Intent, parts: list[Part]) -> None:
        self._layout = layout
        self._settings = settings
        # Each part occupies one thread that waits for its end, and at times one for a step.
        self._threads = ThreadPoolExecutor(max_workers=2 * len(parts) + 2)
        self._runners = {part.name: ProcessRunner(part, layout, self._threads, self._save) for part in parts}
        self._state = StackState(
            Identity.of(os.getpid()), {name: k.state for name, k in self._runners.items()}
        )
        self._state_file = _OwnFile(layout.state)
        self._intent_file = _OwnFile(layout.intent)
        self._intent = intent.encode()
        self._recovered = False

    async def run(self) -> None:
        """Take over what runs already, keep everything running, and stop it all at SIGTERM."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._retry)
        await loop.run_in_executor(self._threads, self._recover)
        # Who reads the state takes it for whole, so nothing is written before it is.
        self._recovered = True
        self._save()
        keeping = [
            asyncio.create_task(runner.keep([self._runners[name] for name in runner.part.after]))
            for runner in self._runners.values()
        ]
        ends = [asyncio.create_task(stopping.wait()), asyncio.create_task(self._watch_files())]
        await asyncio.wait([*ends, *keeping], return_when=asyncio.FIRST_COMPLETED)
        for task in [*ends, *keeping]:
            if task.done() and not task.cancelled() and (fault := task.exception()):
                _say(f"stopping, because of {fault!r}")
            task.cancel()
        await asyncio.gather(*ends, *keeping, return_exceptions=True)
        await loop.run_in_executor(self._threads, self._stop)

    async def _watch_files(self) -> None:
        """Write again what was lost or broken until the stack is deleted: then nothing may run on."""
        while self._layout.settings.exists():
            if not self._state_file.is_as_written() or not self._intent_file.is_as_written():
                self._save()
            try:
                stack_settings.load(self._layout)
            except CliError:
                _say("stack.json was damaged and is written again")
                stack_settings.save(self._layout, self._settings)
            await asyncio.sleep(_FILES_SECONDS)

    def _retry(self) -> None:
        for runner in self._runners.values():
            runner.retry_now()
        self._save()

    def _recover(self) -> None:
        """Adopt the processes of this stack that run as they would be started now; end all others."""
        adopted, taken_over = set(), set()
        before = StackState.load(self._layout)
        for found in marked(self._layout.mark):
            runner = self._runners.get(found.part)
            if runner is None or runner.identity is not None or not found.leads:
                continue
            if found.fingerprint == runner.state.fingerprint:
                if found.part in before.parts:
                    runner.state.restarts = before.parts[found.part].restarts
                runner.adopt(found.identity)
                adopted.add(found.identity.pid)
                taken_over.add(found.part)
                _say(f"took over {found.part} (pid {found.identity.pid})")
        strays = [
            Victim(found.part, found.identity)
            for found in marked(self._layout.mark)
            if found.identity.pid not in adopted
            and found.part != SUPERVISOR
            # What a part that was taken over has started goes on with it.
            and (found.leads or found.part not in taken_over)
        ]
        for stray in strays:
            _say(f"ending stray {stray.name} (pid {stray.identity.pid})")
        stop(strays)

    def _stop(self) -> None:
        for runner in self._runners.values():
            runner.state.health, runner.state.detail = Health.STOPPING, None
        self._save()
        stop(
            Victim(runner.part.name, runner.identity, runner.part.stop_rank, runner.part.stop_seconds)
            for runner in self._runners.values()
            if runner.identity
        )
        stop(
            Victim(found.part, found.identity, rank=9)
            for found in marked(self._layout.mark)
            if found.part != SUPERVISOR
        )
        for runner in self._runners.values():
            runner.state.health = Health.STOPPED
            runner.state.pid = runner.state.created = None
            runner.state.since = time.time()
        self._state.supervisor = None
        self._save()

    def _save(self) -> None:
        if self._recovered and self._layout.settings.exists():
            self._state_file.write(self._state.encode())
            self._intent_file.write(self._intent)


class _OwnFile:
    """A file that only this process writes, and restores if it was changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written: tuple[int, int, int] | None = None

    def write(self, content: bytes) -> None:
        """Write it in one step; a full disk leaves it for the next time, for the parts must go on."""
        try:
            write_private(self._path, content)
        except OSError as error:
            self._written = None
            _say(f"{self._path.name} can't be written: {error}")
        else:
            self._written = self._found()

    def is_as_written(self) -> bool:
        """Whether nobody has deleted or changed it."""
        return self._written is not None and self._found() == self._written

    def _found(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _say(text: str) -> None:
    """Write a line to the supervisor's log, which is its stdout."""
    try:
        print(f"supervisor: {text}", flush=True)  # noqa: T201
    except OSError:
        return


def _lock(layout: Layout) -> IO[str] | None:
    """Hold the stack's lock for the life of this process; the system frees it however the process ends."""
    layout.create()
    file = layout.supervisor_lock.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def main() -> int:
    """Detach from the starting process, then supervise. The first process exits at once with 0."""
    layout = Layout.of(sys.argv[1])
    kept, intent = stack_settings.load(layout), Intent.load(layout)
    if kept is None or intent is None:
        return EXIT_NEVER_STARTED
    parts = plan(layout, kept, intent)
    launcher = os.getpid()
    # A grandchild belongs to no command, so nobody has to wait for it and it is never a zombie.
    if os.fork():
        return 0
    os.setsid()
    lock = _lock(layout)
    # Where the lock's file was deleted it holds nobody off; the other supervisor's mark does.
    others = {found.identity.pid for found in marked(layout.mark) if found.part == SUPERVISOR} - {launcher}
    if lock is None or others:
        return EXIT_ALREADY_RUNNING
    with lock:
        asyncio.run(Supervisor(layout, kept, intent, parts).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
