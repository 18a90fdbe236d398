"""Which process is ours: a process id alone is re-used by the system, with its creation time it is not.

Every process of a stack carries marks in its environment. They last as long as the process and cannot be lost
or broken as a file can, so they decide what runs.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Self

import psutil

# The system derives the time from its clock, which may be set; no id is used again within so short a time.
_TOLERANCE_SECONDS = 2.0
STACK_MARK = "BANKCTL_STACK"
"""The stack's folder."""
PART_MARK = "BANKCTL_STACK_PART"
FINGERPRINT_MARK = "BANKCTL_STACK_FINGERPRINT"
"""How the part was started; one that would be started in the same way now can be taken over."""
SUPERVISOR = "supervisor"


@dataclass(frozen=True)
class Identity:
    """One process for all time: its id and when it was created (seconds since the epoch)."""

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The identity of the process that has this id now; None when there is none."""
        try:
            return cls(pid, psutil.Process(pid).create_time())
        except psutil.Error:
            return None

    def process(self) -> psutil.Process | None:
        """The living process; None when it has ended, is a zombie, or when its id is now another's."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) <= _TOLERANCE_SECONDS
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def alive(self) -> bool:
        """Whether exactly this process still runs."""
        return self.process() is not None


class Marked(NamedTuple):
    """A process that says which stack it belongs to, and what it is there."""

    part: str
    identity: Identity
    fingerprint: str | None
    leads: bool
    """Whether it is the part itself and not a process that the part has started."""


def marked(mark: str) -> Iterator[Marked]:
    """The living processes of the stack with this mark, without the caller itself."""
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.uids().real != os.getuid():
                continue
            environment = process.environ()
            if environment.get(STACK_MARK) != mark or process.status() == psutil.STATUS_ZOMBIE:
                continue
            yield Marked(
                environment.get(PART_MARK, ""),
                Identity(process.pid, process.create_time()),
                environment.get(FINGERPRINT_MARK),
                os.getsid(process.pid) == process.pid,
            )
        except (psutil.Error, OSError):
            continue
