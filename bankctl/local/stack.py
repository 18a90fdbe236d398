"""A local stack as the commands and the tests use it: up, down, status, reset."""

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bankctl.errors import CliError, ExitStatus
from bankctl.local import kafka_jars, ports
from bankctl.local import settings as stack_settings
from bankctl.local.gateway import find_caddy, gateway_url
from bankctl.local.health import why_not_ready
from bankctl.local.identity import Identity, marked
from bankctl.local.kafka import find_java
from bankctl.local.keeper import last_lines
from bankctl.local.layout import Layout
from bankctl.local.mongod import find_mongod
from bankctl.local.part import Health, PartState
from bankctl.local.plan import ALL_PARTS, INSTEAD_OF, environment, plan
from bankctl.local.progress import Progress, Silence
from bankctl.local.settings import PortChoice, Settings
from bankctl.local.shutdown import Victim, stop
from bankctl.local.state import Intent, StackState

EXTERNAL_VARIABLES = ("MONGO_URI", "KAFKA_BROKER", "JWT_SECRET")
_POLL_SECONDS = 0.05
_SUPERVISOR_START_SECONDS = 30.0
_FAILURES_TO_GIVE_UP = 3
_LOG_LINES = 15
_STOP_SECONDS = 60.0


@dataclass(frozen=True)
class PartStatus:
    """One part as `status` shows it."""

    name: str
    health: str
    pid: int | None
    port: int | None
    restarts: int
    detail: str | None
    data: str | None
    log: str

    @property
    def well(self) -> bool:
        """Whether the part serves, as far as it is ours."""
        return self.health in {Health.HEALTHY, Health.EXTERNAL}


@dataclass(frozen=True)
class StackStatus:
    """A stack as `status` shows it."""

    name: str
    url: str | None
    supervisor_pid: int | None
    parts: Sequence[PartStatus]

    @property
    def running(self) -> bool:
        """Whether anything of it runs."""
        return self.supervisor_pid is not None or any(part.pid for part in self.parts)

    @property
    def well(self) -> bool:
        """Whether all of it serves."""
        return self.supervisor_pid is not None and all(part.well for part in self.parts)


@dataclass(frozen=True)
class Started:
    """What `up` did."""

    changed: bool
    url: str
    seconds: float


class Stack:
    """One local stack, by name. Every method may be called from any process, also after a crash."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @classmethod
    def load(cls, name: str = stack_settings.DEFAULT_STACK) -> "Stack":
        """The stack with this name, whether or not it was ever started.

        Raises:
            CliError: the name can't be a stack's.
        """
        return cls(Layout.of(name))

    @property
    def name(self) -> str:
        """The stack's name, which is its profile's too."""
        return self.layout.name

    @property
    def settings(self) -> Settings:
        """Ports and secrets.

        Raises:
            CliError: the stack was never started.
        """
        kept = stack_settings.load(self.layout)
        if kept is None:
            raise CliError(
                f"there is no stack '{self.name}' yet",
                exit_status=ExitStatus.NOT_FOUND,
                hint=f"start it: {self._command('up')}",
                code="no_stack",
            )
        return kept

    @property
    def url(self) -> str:
        """The origin of the gateway."""
        return gateway_url(self.settings.ports["gateway"])

    def environment(self, part: str) -> dict[str, str]:
        """The variables that configure a daemon of this stack.

        Raises:
            CliError: the stack was never started.
        """
        intent = Intent.load(self.layout)
        return environment(self.settings, intent.external if intent else {}, part)

    def up(
        self,
        progress: Progress | None = None,
        *,
        parts: Sequence[str] = ALL_PARTS,
        port_choice: PortChoice | None = None,
        given_ports: Mapping[str, int] | None = None,
        timeout_seconds: float = 180.0,
    ) -> Started:
        """Start what does not run and wait until all of it serves; change nothing when all does.

        Raises:
            CliError: a part is missing or does not come up, or a port is in use; what was started is stopped again.
        """
        progress = progress or Silence()
        began = time.monotonic()
        with self._alone():
            kept = stack_settings.load(self.layout)
            chosen = stack_settings.choose(
                self.layout, kept, port_choice if not self._alive() else None, given_ports
            )
            external = {name: os.environ[name] for name in EXTERNAL_VARIABLES if os.environ.get(name)}
            state = StackState.load(self.layout)
            if state.supervisor and state.supervisor.alive():
                self._refuse_other_wishes(kept, chosen, external, parts)
                if all(part.health is Health.HEALTHY for part in state.parts.values()):
                    return Started(changed=False, url=self.url, seconds=time.monotonic() - began)
                state.supervisor.process().send_signal(signal.SIGHUP)
            else:
                stack_settings.save(self.layout, chosen)
                intent = Intent(tuple(parts), external, self._tools(parts, external, progress))
                self._refuse_busy_ports(chosen, intent, state)
                self._refuse_silent_externals(intent)
                intent.save(self.layout)
                self._start_supervisor()
            try:
                self._await_health(progress, timeout_seconds)
            except BaseException:
                progress.message("stopping what was started")
                self._down()
                raise
            return Started(changed=True, url=self.url, seconds=time.monotonic() - began)

    def down(self) -> bool:
        """Stop everything, drained and in order, and return whether anything ran.

        Raises:
            CliError: a process can't be stopped.
        """
        if not self.layout.root.exists():
            return False
        with self._alone():
            return self._down()

    def reset(self) -> bool:
        """Stop the stack and delete all its data, and return whether there was any."""
        if not self.layout.root.exists():
            return False
        with self._alone():
            self._down()
            shutil.rmtree(self.layout.root)
        return True

    def status(self) -> StackStatus:
        """How every part stands now. A stack whose supervisor was killed gets a new one that takes the parts over.

        Raises:
            CliError: stack.json is damaged.
        """
        kept = stack_settings.load(self.layout)
        intent = Intent.load(self.layout)
        if kept is None or intent is None:
            return StackStatus(self.name, None, None, [])
        state = StackState.load(self.layout)
        if not (state.supervisor and state.supervisor.alive()) and self._alive():
            with self._alone():
                self._start_supervisor()
                state = StackState.load(self.layout)
        supervisor = state.supervisor.pid if state.supervisor and state.supervisor.alive() else None
        known = {part.name: part for part in plan(self.layout, kept, intent)}
        living = state.identities()

        async def probe() -> list[str | None]:
            return await asyncio.gather(*(why_not_ready(part) for part in known.values()))

        reasons = dict(zip(known, asyncio.run(probe()) if living else [None] * len(known), strict=True))
        shown = []
        for name in intent.parts:
            part = state.parts.get(name, PartState(name))
            health, detail = part.health, part.detail
            if name not in known:
                health, detail = Health.EXTERNAL, f"given by {INSTEAD_OF[name]}"
            elif name in living and health is Health.HEALTHY and reasons[name]:
                health, detail = Health.UNHEALTHY, reasons[name]
            elif name not in living and health not in {Health.FAILED, Health.RESTARTING, Health.WAITING}:
                health, detail = Health.STOPPED, None
            if supervisor is None and name in known:
                health, detail = Health.STOPPED, None
            data = self.layout.data(name)
            own = name in known
            shown.append(
                PartStatus(
                    name=name,
                    health=health.value,
                    pid=living[name].pid if name in living else None,
                    port=kept.ports[name] if own else None,
                    restarts=part.restarts,
                    detail=detail,
                    data=str(data) if own and data else None,
                    log=str(self.layout.log(name)),
                )
            )
        return StackStatus(self.name, gateway_url(kept.ports["gateway"]), supervisor, shown)

    # What follows is how it is done.

    def _command(self, verb: str) -> str:
        return f"bankctl dev {verb}" + (
            "" if self.name == stack_settings.DEFAULT_STACK else f" --stack {self.name}"
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One command at a time changes a stack; the system frees the lock however the command ends."""
        self.layout.command_lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self.layout.command_lock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CliError(
                    f"another command is just changing the stack '{self.name}'",
                    exit_status=ExitStatus.CONFLICT,
                    hint="wait until it is done, then try again",
                    code="stack_busy",
                ) from None
            yield

    def _alive(self) -> bool:
        """Whether the supervisor or any recorded part lives."""
        state = StackState.load(self.layout)
        return bool((state.supervisor and state.supervisor.alive()) or state.identities())

    def _refuse_other_wishes(
        self, kept: Settings | None, chosen: Settings, external: Mapping[str, str], parts: Sequence[str]
    ) -> None:
        intent = Intent.load(self.layout)
        if (
            kept != chosen
            or intent is None
            or (dict(intent.external), set(intent.parts)) != (external, set(parts))
        ):
            raise CliError(
                f"the stack '{self.name}' runs with other ports, parts, MONGO_URI, KAFKA_BROKER or JWT_SECRET",
                exit_status=ExitStatus.CONFLICT,
                hint=f"stop it first: {self._command('down')}",
                code="stack_differs",
            )

    def _tools(self, parts: Sequence[str], external: Mapping[str, str], progress: Progress) -> dict[str, str]:
        """Find every program that will be run, and fetch what is missing; all that is missing is told at once."""
        wanted = {name for name in parts if not external.get(INSTEAD_OF.get(name, ""))}
        finders: dict[str, Any] = {}
        if "mongod" in wanted:
            finders["mongod"] = find_mongod
        if "kafka" in wanted:
            finders["java"] = find_java
        if "gateway" in wanted:
            finders["caddy"] = find_caddy
        found, missing = {}, []
        for tool, find in finders.items():
            try:
                found[tool] = str(find())
            except CliError as error:
                missing.append(error)
        if missing:
            raise CliError(
                "\n".join(error.message for error in missing),
                exit_status=ExitStatus.UNEXPECTED,
                hint="\n".join(dict.fromkeys(error.hint for error in missing if error.hint)),
                code=missing[0].code,
            )
        if "kafka" in wanted:
            found["kafka"] = kafka_jars.resolve(progress)
        return found

    def _refuse_busy_ports(self, chosen: Settings, intent: Intent, state: StackState) -> None:
        ours = {state.parts[name].port for name in state.identities()}
        numbers = {part.name: part.port for part in plan(self.layout, chosen, intent)}
        if "kafka" in numbers:
            numbers["kafka_controller"] = chosen.ports["kafka_controller"]
            ours |= {chosen.ports["kafka_controller"]} if "kafka" in state.identities() else set()
        busy = {name: ports.holder(port) for name, port in numbers.items() if port not in ours}
        told = [f"{name}: {holder}" for name, holder in busy.items() if holder]
        if told:
            first = next(name for name, holder in busy.items() if holder)
            raise CliError(
                "\n".join(told),
                exit_status=ExitStatus.CONFLICT,
                hint=f"stop that process, or choose free ports: {self._command('up')} --ports auto "
                f"(or only this one: --port {first}=NUMBER)",
                code="port_in_use",
                details={"ports": {name: holder.port for name, holder in busy.items() if holder}},
            )

    def _refuse_silent_externals(self, intent: Intent) -> None:
        verbs = {"MONGO_URI": "daemons.shared.mongo_admin", "KAFKA_BROKER": "daemons.shared.kafka_admin"}
        for variable, module in verbs.items():
            if not intent.external.get(variable):
                continue
            answer = subprocess.run(
                [sys.executable, "-m", module, "ping", "--timeout-seconds", "5"],
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
            )
            if answer.returncode:
                raise CliError(
                    f"{variable} is set, but what it names does not answer: {answer.stderr.strip()[:300]}",
                    exit_status=ExitStatus.UNREACHABLE,
                    hint=f"start it or correct the variable; or unset {variable} to get one started",
                    code="external_unreachable",
                )

    def _start_supervisor(self) -> None:
        """Start it, and wait until it says that it runs."""
        with self.layout.rotate("supervisor").open("ab") as log:
            launched = subprocess.run(
                [sys.executable, "-m", "bankctl.local.supervisor", self.name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                check=False,
                timeout=_SUPERVISOR_START_SECONDS,
            )
        deadline = time.monotonic() + _SUPERVISOR_START_SECONDS
        while launched.returncode == 0 and time.monotonic() < deadline:
            state = StackState.load(self.layout)
            if state.supervisor and state.supervisor.alive():
                return
            time.sleep(_POLL_SECONDS)
        raise self._failure("supervisor", "the supervisor did not start")

    def _await_health(self, progress: Progress, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while True:
            state = StackState.load(self.layout)
            progress.parts(list(state.parts.values()))
            for part in state.parts.values():
                if part.health is Health.FAILED or part.failures >= _FAILURES_TO_GIVE_UP:
                    raise self._failure(part.name, f"{part.name} does not come up: {part.detail}")
            if all(part.health is Health.HEALTHY for part in state.parts.values()):
                return
            if not (state.supervisor and state.supervisor.alive()):
                raise self._failure("supervisor", "the supervisor has ended")
            if time.monotonic() > deadline:
                late = next(part for part in state.parts.values() if part.health is not Health.HEALTHY)
                raise self._failure(
                    late.name,
                    f"{late.name} is not healthy after {timeout_seconds:g} s: {late.detail or late.health}",
                )
            time.sleep(_POLL_SECONDS)

    def _failure(self, part: str, message: str) -> CliError:
        lines = last_lines(self.layout.log(part), _LOG_LINES)
        log = "\n".join(f"  {line}" for line in lines) or "  (its log is empty)"
        return CliError(
            f"{message}\nThe last lines of {self.layout.log(part)}:\n{log}",
            exit_status=ExitStatus.UNEXPECTED,
            hint=f"mend what the lines say, then: {self._command('up')}",
            code="part_not_healthy",
            details={"part": part, "log": lines},
        )

    def _down(self) -> bool:
        state = StackState.load(self.layout)
        kept = stack_settings.load(self.layout)
        stack_id = kept.id if kept else ""
        found = self._alive() or any(marked(stack_id))
        if state.supervisor and (process := state.supervisor.process()):
            process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + _STOP_SECONDS
            while state.supervisor.alive() and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        survivors = self._end_orphans(stack_id)
        if survivors:
            raise CliError(
                "these processes can't be stopped: "
                + ", ".join(f"{v.name} (pid {v.identity.pid})" for v in survivors),
                exit_status=ExitStatus.UNEXPECTED,
                hint="they may belong to another user; stop them by hand",
                code="not_stopped",
            )
        return found

    def _end_orphans(self, stack_id: str) -> list[Victim]:
        """End what a killed supervisor left, in the order in which it would have done so."""
        state = StackState.load(self.layout)
        survivors = []
        if state.supervisor and state.supervisor.alive():
            survivors += stop([Victim("supervisor", state.supervisor, seconds=1.0)])
        ranks = {"gateway": 1, "kafka": 2, "mongod": 2}
        found: dict[int, tuple[str, Identity]] = {i.pid: (name, i) for name, i in state.identities().items()}
        found |= {identity.pid: (name, identity) for name, identity in marked(stack_id)} if stack_id else {}
        return survivors + stop(
            Victim(name, identity, ranks.get(name, 0), seconds=20.0) for name, identity in found.values()
        )
