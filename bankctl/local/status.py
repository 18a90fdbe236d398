"""How a stack stands, as seen from outside: recorded processes verified, every part asked now."""

import asyncio
import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bankctl.local.follow import last_lines
from bankctl.local.gateway import gateway_url
from bankctl.local.health import Examined, examine
from bankctl.local.layout import Layout
from bankctl.local.part import Health, Part, PartState
from bankctl.local.plan import INSTEAD_OF, plan
from bankctl.local.process_runner import starting_line
from bankctl.local.settings import Settings
from bankctl.local.state import Intent, StackState

_LOG_LINES = 400


@dataclass(frozen=True)
class PartStatus:
    """One part as `status` shows it; port and data are None for what is given by the environment."""

    name: str
    health: str
    pid: int | None
    port: int | None
    restarts: int
    detail: str | None
    data: str | None
    log: str | None

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
    def well(self) -> bool:
        """Whether all of it serves."""
        return self.supervisor_pid is not None and all(part.well for part in self.parts)


def look(layout: Layout, settings: Settings, intent: Intent, state: StackState) -> StackStatus:
    """Ask every part of the stack how it is."""
    supervisor = state.supervisor.pid if state.supervisor and state.supervised else None
    own = {part.name: part for part in plan(layout, settings, intent)}
    reasons = _probe([part for name, part in own.items() if name in state.identities()])
    parts = [
        _own_part(layout, own[name], state, reasons, supervised=supervisor is not None)
        if name in own
        else PartStatus(name, Health.EXTERNAL, None, None, 0, f"given by {INSTEAD_OF[name]}", None, None)
        for name in intent.parts
    ]
    return StackStatus(layout.name, gateway_url(settings.ports["gateway"]), supervisor, parts)


def orphans(layout: Layout, state: StackState) -> list[PartStatus]:
    """What runs in a stack whose files are lost, with nobody who knows what it should run."""
    return [
        PartStatus(
            name=name,
            health=Health.UNHEALTHY.value,
            pid=identity.pid,
            port=None,
            restarts=0,
            detail="it runs, but the stack's files are lost; `bankctl dev down` stops it",
            data=None,
            log=str(layout.log(name)),
        )
        for name, identity in state.identities().items()
    ]


def _own_part(
    layout: Layout, part: Part, state: StackState, reasons: Mapping[str, Examined], *, supervised: bool
) -> PartStatus:
    known = state.parts.get(part.name, PartState(part.name, Health.STOPPED))
    health, detail = known.health, known.detail
    alive = part.name in reasons
    if not supervised:
        health, detail = Health.STOPPED, None
    elif health is Health.HEALTHY and not alive:
        health, detail = Health.UNHEALTHY, "its process has ended"
    elif health is Health.HEALTHY and (fault := reasons[part.name].fault):
        health, detail = Health.UNHEALTHY, fault
    elif health is Health.HEALTHY and (notice := reasons[part.name].notice):
        health, detail = Health.DEGRADED, notice
    if (
        supervised
        and health not in {Health.HEALTHY, Health.DEGRADED}
        and (cause := _cause(layout, part.name))
    ):
        detail = f"{cause}; {detail}" if detail else cause
    data = layout.data(part.name)
    return PartStatus(
        name=part.name,
        health=health.value,
        pid=known.pid if alive else None,
        port=part.port,
        restarts=known.restarts,
        detail=detail,
        data=str(data) if data else None,
        log=str(layout.log(part.name)),
    )


def _cause(layout: Layout, part: str) -> str | None:
    """What the part's log says of a full disk in its last two runs: its exit status says nothing of it."""
    lines = last_lines(layout.log(part), _LOG_LINES)
    starts = [index for index, line in enumerate(lines) if line == starting_line(part)]
    recent = lines[starts[-2] if len(starts) > 1 else 0 :]
    if not any(os.strerror(errno.ENOSPC) in line for line in recent):
        return None
    free = shutil.disk_usage(layout.root).free
    return f"its disk is full: {free // 1_000_000} MB are free in {layout.root}"


def _probe(parts: Sequence[Part]) -> dict[str, Examined]:
    async def ask_all() -> list[Examined]:
        return await asyncio.gather(*(examine(part) for part in parts))

    # A thread of its own, because the caller may be inside an event loop.
    with ThreadPoolExecutor(1) as thread:
        answers = thread.submit(asyncio.run, ask_all()).result()
    return {part.name: answer for part, answer in zip(parts, answers, strict=True)}
