"""Keeps one part running: starts it, watches it, starts it again when it ends."""

import asyncio
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import psutil

from bankctl.local.health import why_not_ready
from bankctl.local.identity import FINGERPRINT_MARK, PART_MARK, STACK_MARK, Identity
from bankctl.local.layout import Layout
from bankctl.local.part import Health, Part, PartState

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 10.0
_STARTING_PROBE_SECONDS = 0.1
_HEALTHY_PROBE_SECONDS = 5.0
_STEP_SECONDS = 60.0
_PASSED_ON = (
    *("PATH", "HOME", "USER", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE"),
    *("JAVA_HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)
"""What a program needs to know of its machine; the rest of a part's environment is its own."""


def starting_line(part: str) -> str:
    """What each run of a part begins with in its log."""
    return f"bankctl: {part} is started"


def pause_seconds(failures: int) -> float:
    """How long to wait before the next start after so many failures in a row."""
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 16), _LONGEST_PAUSE_SECONDS)


def fingerprint(part: Part) -> str:
    """Tells whether a running process was started as it would be now; a digest, since it covers secrets."""
    described = json.dumps([list(part.command), sorted(part.environment.items())])
    return hashlib.sha256(described.encode()).hexdigest()


class ProcessRunner:
    """The one who keeps a part running, from the first start to the stop."""

    def __init__(
        self,
        part: Part,
        layout: Layout,
        threads: ThreadPoolExecutor,
        changed: Callable[[], None],
    ) -> None:
        self.part = part
        self.state = PartState(part.name, port=part.port, fingerprint=fingerprint(part), since=time.time())
        self.listening = asyncio.Event()
        self.identity: Identity | None = None
        self._layout = layout
        self._threads = threads
        self._changed = changed
        self._retry = asyncio.Event()

    def adopt(self, identity: Identity) -> None:
        """Take over a process that a supervisor before this one started in the same way."""
        self._take(identity)

    def retry_now(self) -> None:
        """Forget failures and pauses: somebody mended something."""
        if self.state.health in {Health.FAILED, Health.RESTARTING}:
            self.state.failures = 0
            self.state.health, self.state.detail = Health.WAITING, None
            self._retry.set()

    async def keep(self, needs: Sequence["ProcessRunner"]) -> None:
        """Keep the part running until cancelled; a part whose settings are refused waits for `retry_now`."""
        while True:
            if self.identity is None:
                for need in needs:
                    await need.listening.wait()
            status = await self._run_once()
            self.identity = None
            self.listening.clear()
            steady = self.state.health in {Health.HEALTHY, Health.UNHEALTHY} and (
                time.time() - (self.state.since or 0) >= _STEADY_SECONDS
            )
            was_healthy = self.state.health in {Health.HEALTHY, Health.UNHEALTHY}
            self.state.failures = 0 if steady else self.state.failures + 1
            self.state.pid = self.state.created = None
            ending = _ending(status)
            if status == self.part.bad_settings_status and not was_healthy:
                self._become(Health.FAILED, f"{ending}: it refuses its settings")
                await self._retry.wait()
            else:
                pause = pause_seconds(self.state.failures - 1 if self.state.failures else 0)
                self._become(Health.RESTARTING, f"{ending}; starts again in {pause:.1f} s")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._retry.wait(), pause)
            self._retry.clear()
            self.state.restarts += 1

    async def _run_once(self) -> int | None:
        """Start (or go on with) the process, watch it, and return its exit status when it has ended."""
        loop = asyncio.get_running_loop()
        if self.identity is None:
            self._become(Health.STARTING, None)
            if self.part.once and not self.part.once.marker.exists():
                status = await self._prepare()
                if status != 0:
                    return status
            try:
                self._note("is started")
                popen = self._spawn(self.part.command, self.part.name)
            except OSError as error:
                self._note(f"can't be started: {error}")
                return None
            self._take(Identity.of(popen.pid))
            ended: asyncio.Future[int | None] = loop.run_in_executor(self._threads, popen.wait)
        else:
            ended = loop.run_in_executor(self._threads, _outlive, self.identity)
        watching = asyncio.create_task(self._watch())
        try:
            return await asyncio.shield(ended)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _prepare(self) -> int | None:
        """Run the step that must come once before the first start."""
        once = self.part.once
        if once is None:
            return 0
        shutil.rmtree(once.folder, ignore_errors=True)
        status = await self._step(once.command, name="prepare", variables=once.environment)
        if status == 0:
            once.marker.touch()
        return status

    async def _watch(self) -> None:
        """Follow the health of the running process."""
        confirmed = self.part.confirm is None
        while True:
            reason = await why_not_ready(self.part)
            if reason is None:
                self.listening.set()
                if not confirmed:
                    confirmed = (
                        await self._step(
                            self.part.confirm or (), name="confirm", variables=self.part.confirm_environment
                        )
                        == 0
                    )
                if confirmed:
                    self._become(Health.HEALTHY, None)
            elif self.state.health in {Health.HEALTHY, Health.UNHEALTHY}:
                self._become(Health.UNHEALTHY, reason)
            else:
                self._become(Health.STARTING, reason)
            healthy = self.state.health is Health.HEALTHY
            await asyncio.sleep(_HEALTHY_PROBE_SECONDS if healthy else _STARTING_PROBE_SECONDS)

    async def _step(
        self, command: Sequence[str], *, name: str, variables: Mapping[str, str] = MappingProxyType({})
    ) -> int | None:
        popen = self._spawn(command, f"{self.part.name}:{name}", variables)
        try:
            wait = asyncio.get_running_loop().run_in_executor(self._threads, popen.wait)
            return await asyncio.wait_for(asyncio.shield(wait), _STEP_SECONDS)
        except TimeoutError:
            self._note(f"the step '{name}' did not end within {_STEP_SECONDS:g} s")
            return None
        finally:
            if popen.poll() is None:
                popen.kill()

    def _spawn(
        self, command: Sequence[str], mark: str, variables: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[bytes]:
        # What else stands in this environment, such as a person's tokens, does not concern the parts.
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        environment |= {
            **self.part.environment,
            **variables,
            STACK_MARK: self._layout.mark,
            PART_MARK: mark,
            FINGERPRINT_MARK: self.state.fingerprint or "",
        }
        with self._layout.rotate(self.part.name).open("ab") as log:
            # Its own session, so that what ends a terminal or the supervisor does not end the part.
            return subprocess.Popen(
                [*command],
                env=environment,
                cwd=self._layout.root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _take(self, identity: Identity | None) -> None:
        self.identity = identity
        if identity:
            self.state.pid, self.state.created = identity.pid, identity.created
        self.state.health, self.state.detail, self.state.since = Health.STARTING, None, time.time()
        self._changed()

    def _become(self, health: Health, detail: str | None) -> None:
        if (health, detail) == (self.state.health, self.state.detail):
            return
        if health is not self.state.health:
            self.state.since = time.time()
        self.state.health, self.state.detail = health, detail
        self._changed()

    def _note(self, text: str) -> None:
        # A full disk must not end who starts the part again once there is room.
        with contextlib.suppress(OSError), self._layout.log(self.part.name).open("a") as log:
            log.write(f"bankctl: {self.part.name} {text}\n")


def _outlive(identity: Identity) -> int | None:
    """Wait for the end of a process that is not our child; only a parent learns the exit status."""
    process = identity.process()
    if process:
        with contextlib.suppress(psutil.Error):
            process.wait()
    return None


def _ending(status: int | None) -> str:
    if status is None:
        return "ended"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"
