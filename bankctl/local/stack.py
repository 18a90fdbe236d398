"""A local stack as the commands and the tests use it: up, down, status, reset."""

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bankctl.errors import CliError, ExitStatus
from bankctl.local import control, preflight
from bankctl.local import settings as stack_settings
from bankctl.local.gateway import gateway_url
from bankctl.local.layout import Layout
from bankctl.local.part import Health
from bankctl.local.plan import ALL_PARTS, POLICY_VARIABLES, environment
from bankctl.local.progress import Progress, Silence
from bankctl.local.settings import PortChoice, Settings
from bankctl.local.state import Intent, StackState
from bankctl.local.status import StackStatus, look, orphans

EXTERNAL_VARIABLES = (
    *("MONGO_URI", "KAFKA_BROKER", "SMTP_HOST", "CACHE_URI", "JWT_SECRET"),
    *("KAFKA_SECURITY", "KAFKA_MECHANISM", "KAFKA_USERNAME", "KAFKA_PASSWORD"),
    *POLICY_VARIABLES,
)


@dataclass(frozen=True)
class Wishes:
    """What is asked of `up`: which parts, and on which ports."""

    parts: Sequence[str] = ALL_PARTS
    port_choice: PortChoice | None = None
    ports: Mapping[str, int] | None = None


@dataclass(frozen=True)
class Started:
    """What `up` did; `changed` is false when everything ran already."""

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
                hint=f"start it: {control.command(self.layout, 'up')}",
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
        wishes: Wishes | None = None,
        *,
        timeout_seconds: float = 180.0,
    ) -> Started:
        """Start what does not run and wait until all of it serves; change nothing when all does.

        Raises:
            CliError: a program is missing, a port is in use, or a part does not come up; what this call
                started is stopped again.
        """
        progress, wishes = progress or Silence(), wishes or Wishes()
        began = time.monotonic()
        external = {name: os.environ[name] for name in EXTERNAL_VARIABLES if os.environ.get(name)}
        with control.alone(self.layout):
            state = StackState.observe(self.layout)
            if state.supervised:
                self._refuse_other_wishes(wishes, external)
                if all(part.health is Health.HEALTHY for part in state.parts.values()):
                    return Started(changed=False, url=self.url, seconds=time.monotonic() - began)
                control.retry(self.layout)
                control.await_health(self.layout, progress, timeout_seconds=timeout_seconds)
            else:
                self._start(wishes, external, progress)
                try:
                    control.await_health(self.layout, progress, timeout_seconds=timeout_seconds)
                except BaseException:
                    progress.message("stopping what was started")
                    control.end_all(self.layout)
                    raise
        return Started(changed=True, url=self.url, seconds=time.monotonic() - began)

    def down(self) -> bool:
        """Stop everything, drained and in order, and return whether anything ran.

        Raises:
            CliError: a process can't be stopped.
        """
        if not self.layout.root.exists():
            return False
        with control.alone(self.layout):
            return control.end_all(self.layout)

    def reset(self) -> bool:
        """Stop the stack and delete all its data, and return whether there was any.

        Raises:
            CliError: a process can't be stopped; nothing is deleted then.
        """
        if not self.layout.root.exists():
            return False
        with control.alone(self.layout):
            control.end_all(self.layout)
            shutil.rmtree(self.layout.root)
        return True

    def status(self) -> StackStatus:
        """How every part stands now. Parts whose supervisor was killed get a new one, which takes them over.

        Raises:
            CliError: stack.json is damaged.
        """
        # Looked at first: a living supervisor writes its files again where they were lost.
        state = StackState.observe(self.layout)
        kept, intent = stack_settings.load(self.layout), Intent.load(self.layout)
        if kept is None or intent is None:
            return StackStatus(self.name, None, None, orphans(self.layout, state))
        if state.identities() and not state.supervised:
            with control.alone(self.layout):
                control.start_supervisor(self.layout)
            state = StackState.observe(self.layout)
        return look(self.layout, kept, intent, state)

    def _start(self, wishes: Wishes, external: Mapping[str, str], progress: Progress) -> None:
        kept = stack_settings.load(self.layout)
        chosen = stack_settings.choose(self.layout, kept, wishes.port_choice, wishes.ports)
        tools = preflight.find_tools(wishes.parts, external, progress)
        intent = Intent(tuple(wishes.parts), external, tools)
        preflight.refuse_busy_ports(
            self.layout, chosen, intent, up_command=control.command(self.layout, "up")
        )
        preflight.refuse_silent_externals(intent)
        stack_settings.save(self.layout, chosen)
        intent.save(self.layout)
        control.start_supervisor(self.layout)

    def _refuse_other_wishes(self, wishes: Wishes, external: Mapping[str, str]) -> None:
        kept, intent = self.settings, Intent.load(self.layout)
        # Ports that were chosen once are what "auto" keeps, so only the others can differ.
        choice = None if wishes.port_choice is PortChoice.AUTO else wishes.port_choice
        wanted = stack_settings.choose(self.layout, kept, choice, wishes.ports)
        same_parts = intent is not None and set(intent.parts) == set(wishes.parts)
        same_servers = intent is not None and dict(intent.external) == dict(external)
        if wanted != kept or not (same_parts and same_servers):
            raise CliError(
                f"the stack '{self.name}' runs with other parts, ports, servers, secret or policy",
                exit_status=ExitStatus.CONFLICT,
                hint=f"stop it first: {control.command(self.layout, 'down')}",
                code="stack_differs",
            )
