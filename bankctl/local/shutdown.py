"""Ending processes for certain: asked first, killed after a bounded wait, verified gone."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psutil

from bankctl.local.identity import Identity

_POLL_SECONDS = 0.02
_AFTER_KILL_SECONDS = 5.0


@dataclass(frozen=True)
class Victim:
    """A process to end: those of a lower rank end before those of a higher one are asked."""

    name: str
    identity: Identity
    rank: int = 0
    seconds: float = 10.0


def stop(victims: Iterable[Victim]) -> list[Victim]:
    """End the processes, rank by rank, and return those that live on (where the system forbids it)."""
    remaining = list(victims)
    survivors: list[Victim] = []
    for rank in sorted({victim.rank for victim in remaining}):
        survivors += _stop_together([victim for victim in remaining if victim.rank == rank])
    return survivors


def _stop_together(victims: Sequence[Victim]) -> list[Victim]:
    started = time.monotonic()
    for victim in victims:
        _signal(victim.identity, signal.SIGTERM)
    left = [victim for victim in victims if victim.identity.alive()]
    while left and time.monotonic() - started < max(victim.seconds for victim in left):
        time.sleep(_POLL_SECONDS)
        for victim in left:
            if time.monotonic() - started >= victim.seconds:
                _signal(victim.identity, signal.SIGKILL)
        left = [victim for victim in left if victim.identity.alive()]
    for victim in left:
        _signal(victim.identity, signal.SIGKILL)
    deadline = time.monotonic() + _AFTER_KILL_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        left = [victim for victim in left if victim.identity.alive()]
    return left


def _signal(identity: Identity, number: signal.Signals) -> None:
    """Signal exactly this process; a kill takes its process group along when it leads one."""
    process = identity.process()
    if process is None:
        return
    with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
        if number == signal.SIGKILL and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
